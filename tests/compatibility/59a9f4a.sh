#!/usr/bin/env bash
# Makes the fixture of this version: run it in a checkout of commit 59a9f4a with its .venv on the PATH. What a newer dmforge must still open.
#   make.sh DIR      fills DIR; its contents are then packed as 59a9f4a.tar.xz
set -euo pipefail
mkdir -p "$1" && cd "$1"
export OMP_NUM_THREADS=1
serve() { dmforge oracle "$1" --port "$2" & oracle=$!; trap 'kill $oracle' EXIT; sleep 4; export OPENAI_BASE_URL=http://127.0.0.1:$2/v1; }
stop() { kill $oracle; wait $oracle || true; trap - EXIT; unset OPENAI_BASE_URL; }

dmforge demo --size chain --videos 3 --out demo                    # demo/workspace: the whole chain, to shards
for form in dynframe llamafactory trl hf; do dmforge export cot --to $form -w demo/workspace; done

dmforge worlds films --videos 2 --level 2                          # raw: every stage that asks a teacher
serve films 8791
dmforge init raw --recipe from-raw-video
dmforge run -w raw
stop

dmforge worlds study --videos 4 --study                            # a student, what it tried, what it practises
serve study 8792
dmforge init cot --recipe study
dmforge ingest -w cot study/videos --source worlds --licence CC0-1.0
dmforge import jsonl -w cot study/tasks.jsonl
dmforge run -w cot
stop
cat > sft.toml <<END
out = "sft"
[model]
scratch = "speck"
[data]
corpora = [{ place = "$(echo cot/shards/cot/*)" }]
most_tokens = 8192
most_samples = 4
[training]
steps = 4
learning_rate = 2e-3
clip = 1.0
[saving]
save_every = 2
log_every = 1
device = "cpu"
END
dmforge train sft sft.toml
dmforge init exam --recipe exam
dmforge ingest -w exam study/videos
dmforge import jsonl -w exam study/tasks.jsonl
dmforge run -w exam
cat > evaluate.toml <<END
checkpoint = "./sft/checkpoint-4"
corpora = ["$(echo exam/shards/exam/*)"]
baseline_corpora = ["$(echo cot/shards/cot/*)"]
workspace = "exam"
out = "evaluation"
device = "cpu"
[roll]
most_tokens = 32
END
dmforge evaluate evaluate.toml
dmforge init practice --recipe practice
sed -i -e 's|^checkpoint = .*|checkpoint = "../sft/checkpoint-4"|' -e 's|most_tokens = 160|most_tokens = 32|' \
    -e '/^\[stages.select_rl.least\]/,/^\[stages.pack\]/{/^[a-z]/d}' practice/recipe.toml
dmforge ingest -w practice study/videos --source worlds --licence CC0-1.0
dmforge import jsonl -w practice study/tasks.jsonl
dmforge run -w practice
cat > sdgrpo.toml <<END
out = "sdgrpo"
[model]
checkpoint = "./sft/checkpoint-4"
[data]
corpora = [{ place = "$(echo practice/shards/rl/*)" }]
prompts = 2
workers = 0
[rollout]
temperature = 1.0
most_tokens = 32
[rewards]
teacher_densities = true
[training]
steps = 2
learning_rate = 1e-4
[saving]
save_every = 1
log_every = 1
device = "cpu"
END
dmforge train sdgrpo sdgrpo.toml
