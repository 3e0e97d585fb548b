"""Try a recipe on a few videos for a few dollars, and say what all of them would cost and give.

python examples/pilot.py WORKSPACE --videos 20 --budget 2
"""

import argparse

import dmforge as dm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace")
    parser.add_argument("--videos", type=int, default=20, help="how many videos the pilot takes")
    parser.add_argument("--budget", type=float, default=2.0, metavar="USD", help="what the pilot may cost")
    arguments = parser.parse_args()

    ws = dm.Workspace(arguments.workspace)
    pilot = ws.run(videos=arguments.videos, budget_usd=arguments.budget)
    for stage in pilot.stages:
        settled = stage.tally.settled
        share = stage.tally.made / settled if settled else 0.0
        print(f"{stage.name:16} {settled:6} inputs, {share:4.0%} of them made something")
        for reason, count in (stage.deferred or {}).items():
            print(f"{'':16} {count:6} wait: {reason.splitlines()[0]}")

    # what is left, at the prices and the yields that the pilot has shown
    plan = ws.plan()
    print(f"\nspent so far: ${pilot.cost:.2f}; all the rest: ${plan.cost:.2f}")
    waiting = sum(forecast.tally.pending + forecast.expected for forecast in plan.stages)
    print("run it without --videos to go on: what the pilot paid for is kept" if waiting else "nothing is left to do")


if __name__ == "__main__":
    main()
