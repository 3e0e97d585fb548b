"""The word classes of leaks: who gives away, what is given away, how it is told, what it is for; and what belongs to the video.

A class is the inside of a regular expression, of alternatives parted by ` | `; a blank is any run of blanks, ` ?` may be none.
`leak_signs.py` combines classes by order and distance.
"""

from __future__ import annotations

import re


def words(text: str) -> str:
    """A class from its alternatives."""
    text = re.sub(r"\s*\n\s*\|(?=\S)", "|", text)
    return f"(?:{'|'.join(' '.join(text.split()).split(' | '))})"


GOLD, LETTER, PAIR, BOUND, SCENE, QUOTE, RIVAL = "\ua500", "\ua501", "\ua502", "\ua503", "\ua504", "\ua505", "\ua506"
"""What `leaks.py` writes over the text of the answer, its letter, both bounds of its window, one of them; over words of the
question; over quotations. To a regular expression they are letters, and nobody mixes their script with English."""
TRUTH = f"[{GOLD}{LETTER}{PAIR}]+"
NAMED = words(f"{TRUTH} | {BOUND}+")

_ANSWER = "a(?:nsw|nws|wns|sw)e?re?"
"""However it is misspelt."""
ANSWER = words(
    f"{_ANSWER} | solution | reply | response | option | choice | letter | pick | conclusion | outcome | alternative | verdict"
)
SECRET = words(f"{_ANSWER} | solution | reply | response | outcome | {TRUTH}")
"""What nobody knows who hasn't looked."""
SOURCE = words(f"{_ANSWER} | solution | reply | response | outcome | letter | label")
WINDOW = words("window | span | interval | segment | bounds | boundaries | start and (?:the )?end | slice | endpoints")
TIMES = words("time ?stamps? | times | range | stretch | moment | seconds | section | evidence | part | place | spot")

ME = words("me | us | myself")
I_AM = words("""
    (?:I|we) (?:was|were|am|are|have been|had been|got|get|did get) | (?:I|we)'(?:m|re|ve been|d been)
    | (?:me|us|not|or) being | having been
""")
ADVERBS = r"(?:(?:already|also|just|simply|only|once|kindly|\w+ly|it|all|even|so|never|not|as much) ){0,3}"
TOLD = words("""
    told | given | handed | passed | su?pp?l+ied | provided | furnished | fed | informed | notified | assigned | allotted
    | allocated | briefed | primed | promised | disclosed | revealed | leaked | spoil(?:ed|t) | tipped | let in | let know
    | served | sent | shared | equipped | entrusted | presented with | dictated | instructed | directed | pointed
    | steered | set on | communicated | relayed | whispered | slipped | granted | issued | offered | delivered | confided
    | hinted | nudged | advised | cued | spoon-?fed | ordered | shown the | bound to | laid | put | prepared
    | predetermined | pinned | picked | chosen | narrowed | marked | flagged | fixed | stated | settled | selected
    | pre-?selected | highlighted | in bold | localised | bolded | confirmed | announced | mentioned | named | specified
    | given away | clued | filled in | apprised | armed with | loaded | seeded | injected | inserted | hard-?coded
    | locked in | nailed down | decided | spelled out | written down | pencilled in | earmarked | bookmarked | circled
    | underlined | set up with | saddled with | left with | stuck with | charged with | tasked with | commissioned
    | conveyed | imparted
""")
"""What was done to or for someone who now knows."""
GAVE = words(
    "gave | told | handed | passed | fed | sent | informed | su?pp?l+ied | slipped | promised | showed | assured | tipped"
)
FIXED = words("""
    given | provided | su?pp?l+ied | furnished | stated | specified | listed | designated | prescribed | stipulated
    | dictated | disclosed
    | pre-?(?:set|fixed|defined|selected|filled|determined|ordained|scribed|agreed|assigned|marked|chosen|computed|decided)
    | foregone | stored | recorded | official | reference | annotated | labell?ed | mandated | assigned | imposed | leaked
    | accepted | certified | documented | registered | submitted | nominated | filed | keyed | published
    | on (?:file|record) | handed(?:-| )?(?:over|down)
""")
"""How a thing is that someone outside the video fixed."""
WISHED = words("""
    expected | target | known | required | desired | demanded | wanted | requested | intended | supposed | gold(?:en)?
    | model | true | suggested | agreed | confirmed | verified | set | fixed | settled | marked | flagged | revealed
    | indicated | promised | ideal | noted | announced
""")
"""Weaker: much in a video is marked or expected, too."""
ASKED = words(r"""
    required | asked | instructed | demanded | requested | prescribed | stipulated | listed | stated | specified
    | su?pp?l+ied | provided | told | noted | given | supposed | ordered | pre-?\w+ | disclosed | promised | directed
    | dictated | intended | planned
""")

ALWAYS = words(rf"""
    GT
    | gold(?:en)? (?:label|standard|answer|span|window|option|solution|choice|interval|timestamp)s?
    | the gold(?= (?:is|says|has)\b) | annotators? | data ?sets? | benchmarks? | rubrics?
    | graders? | cheat[- ]?sheet | crib(?: sheet)? | test bank | training label | label (?:file|field) | correct_\w+
    | answer_\w+ | gt_\w+ | hidden field | evaluation script | (?:system|developer) (?:message|prompt) | QA pair
    | (?:full|pass) marks? | supervision | class label | gold segment | raters?
    | labell?ers? | solutions? list | list of solutions | margin note | human-(?:written|made|labell?ed)
    | this (?:sample|row|item|record|entry) | the (?:sample|item|record)'s | privy to | ready-made | by decree | formality
    | form's sake | made available | tipped off | vouched for | ruled (?:right|correct)
    | (?:marked|flagged|scored|ticked|starred|listed) (?:as )?(?:correct|right|true) | for my benefit | training data
    | hidden from | answer (?:line|column|list|slot|sheet|field|file|bank|entry|record)
    | (?:reference|expected|gold|target|intended|model|ideal) (?:{ANSWER}|output|label|{WINDOW}|timestamps?|count)
""")
"""Nobody speaks of these who has only a video and a question."""
KEY = "key(?! (?:clue|moments?|frames?|details?|points?|part|action|event|is|was|to|in|on))"
"""Not what is important, and not what opens a door."""
ASKER = words(rf"""
    (?:my|our|under) orders | on file | files?
    | {KEY}
    | log | header | json | csv | marking | reward(?: model)? | bank | paperwork | documentation
    | the (?:ones|people|humans?) who | those who | copy of | chat | test makers? | labell?ing | script of
    | behind the scenes | quota | policy | evaluation | scorer | marker | prompts? | tasks? | instructions?
    | brief(?:ing)? | requests? | users? | (?:question )?setters? | exercise | supervisors? | input | context | item
    | guidelines? | setup | set-up | assignment | spec(?:ification)? | preamble | asked to believe | made this
    | author'?s? | labelled the | the test | conversation | handout | evaluators? | checker | uploader(?:'s)? | directive
    | statement of | materials? | entry | database | record | system
    | reference(?! (?:point|weight|book|photo|line|picture|image|frame|mark)) | dialog(?:ue)? | payload | attachment
    | file ?name | spreadsheet | template | placeholder | oracle | corpus | train(?:ing)? set | test set | harness
    | client | boss | creator | curator | editor | crowd ?workers? | experts? | enquiry | inquiry | submission | bundle
    | sample | overseer | operator | requester | asker | poser | interlocutor | earlier turn | first turn | answers? given
    | specified | teacher model
""")
"""Who asks, or keeps what was asked: of the answer they should say nothing."""
PAPER = words("""
    key | files? | records? | notes? | sheets? | list | solutions? | log | form | column | field | labels? | caption data
    | tags? | register | index | json | csv | table | slip | hints? | messages? | spoiler | statement | script
    | examiners? | teacher's | posed
""")
"""Where an answer may stand; things of this name lie about in videos, too."""
SOMEONE = words(r"someone | somebody | they(?:'ve|'d)? | whoever \w+(?: \w+){0,3} | people")
SAYS = words("""
    sa(?:ys?|id) | states? | stated | gives? | gave | ha[sd] | have | lists? | listed | names? | named | marks? | marked
    | wants? | wanted | expects? | expected | tells? | told | reveals? | revealed | confirms? | confirmed | indicates?
    | indicated | shows? | reads? | puts? | sets? | fix(?:ed|es) | specif(?:y|ies|ied) | declares? | declared | dictates?
    | prescribes? | demands? | requires? | contain(?:s|ed) | includes? | included | holds? | is | was | mentions?
    | mentioned | provides? | provided | discloses? | disclosed | pins? | pinned | points? | pointed | calls? | claims?
    | suppl(?:y|ies|ied) | designates? | promised? | ticked | hint(?:s|ed) | insists? | settled? | assigns? | records?
    | identif(?:y|ies|ied) | asserts? | reports? | notes? | quotes? | pegs? | places? | accepts? | would be | narrowed
    | wrote | down
""")
ATTACHED = words(r"""
    accompan\w+ | attached | appended | enclosed | included | bundled | su?pp?l+ied | came | comes | come | coming | sent
    | shipped | arriv\w+ | prepended | embedded | together | below | delivered
""")
MATTER = words("""
    query | question | prompt | task | clip | sample | solution | file | video | request | input | message | item | me
    | us | exercise | set | package | data
""")
YOU = words("you | your | you've | you're")

FORCED = words("""
    supposed | required | expected | meant | obliged | bound | asked | told | instructed | forced | ordered | needs?
    | ha(?:ve|s|d) | must | should | got | want(?:s|ed)? | task | job | goal | called upon | to
""")
DEFENDS = words("""
    supports? | defend | argue(?: the case)?(?: for)? | rationali[sz]e | vindicate | back up | make (?:the|a) case for
    | reach | arrive at | end (?:up )?(?:in|at|on|with) | ends (?:in|at|on|with) | ending (?:in|at|on|with) | land on
    | come out (?:as|at|to)(?: be)? | prop up | plead for | get to | justify | explain why | conclude(?: with)?
    | work out why | show that | account for | lead (?:up )?to
""")
REASONS = words(r"""
    (?:made|enough|has|have|something) to (?:make|show) | reasoning | explain | explanation | justif\w+ | rationale
    | argue | defend | demonstrate | vindicate | verification | walk the reader | conclusion | phrase it | interpret
    | describe | read it as | illustrate | bear out | borne out | chain of thought | prop | prove | show that
    | account for | carry it | to support | to back
""")
AGREES = words("""
    match(?:es|ed|ing)? | agrees? | agreeing | agreement | consistent | in line | in keeping | squares? | tall(?:y|ies)
    | corroborates? | confirms? | same | identical | equals? | coincides? | lines up | compared? | accord(?:s|ance)?
    | fits? | vindicates? | in sync | corresponds?
""")
SKIPS = words("""
    no (?:need|point|search|use) | needn't | rather than | straight to | skip | saves? | only (?:need|have|want)
    | just (?:need|have) | merely | simply | even without | what remains | nothing (?:outside|else) | settling | settled
    | settles
""")
"""Who knows need not search."""
OVERRIDES = words("""
    I'd | I would | my own | left to | by my | trust | stick to | go with | adopt | repeat | take over | falls? back
    | revise | regardless | whatever | no objection | discrepancy | off by | were it not | otherwise
    | honestly
""")
"""Who knows better than the frames."""
SECRETIVE = words(r"""
    foreknowledge | in hindsight | inside(?:r)? (?:info\w*|knowledge) | (?:advance|prior) (?:knowledge|notice) | peek\w*
    | cheat\w* | spoiler\w* | crib | leaked | let in on | in on it | tipped off | privy | from training | memori[sz]ed
    | after the fact | post hoc | preordained | independence | clairvoyan\w+ | ready-?made
    | by (?:order|decree) | comply | dress(?:es|ed|ing)? up | made-up | feign\w* | play dumb | act as (?:though|if)
    | reconstructed | look natural | plausible story | suspicion | no secret | is a given | they(?: a|')re after
    | had in mind | forced on | not mine | credib\w+ | believable | fabricat\w+ | invent(?:ed)? a | cover story | fake
    | forewarned | in the know
""")

IN_VIDEO = words(r"""
    s?he | him | hers? | his | (?:him|her)self | captions? | (?:sub|inter)titles? | narrat\w+ | hosts? | score ?boards?
    | signs? | signposts? | (?:on|the) screen | on-?screen | boards? | slides? | banners? | posters? | coach
    | (?:a|the) teacher | tutor | guards? | doctors? | commentators? | displays? | displayed | page | scene | film
    | ticket | map | umpire | referee | pupils? | students? | contestants? | players? | captain | speakers? | man | woman
    | boy | girl | crowd | audience | judge | jury | lawyer | chef | magician | actor | witness | clerk | reporter
    | customer | waiter | quiz | package | bottle | jar | graphic | ticker | panel | plaque | wall | chart | diagram
    | overlay | appears? | printed
""")
"""Who tells there, tells whoever watches; what lies there, can be read."""
FRAMES = words("""
    frames? | views? | overviews? | footage | clips? | videos? | images? | pictures? | shots? | looks? | glance | pass
    | stamps | options | choices | query | beginning | gesture | time on
""")
"""What the writer was indeed given."""
HEDGES = words(r"""
    if | whether | likely | probably | perhaps | maybe | may | might | could | seems? | looks | suspect | guess\w*
    | assume | hypothesis | tentative\w* | which | what | who | plausible | unless | can't | cannot | \w+n't | not | no
    | should | determine | depends | yet | likel\w+
""")
SEEKS = words("find | need to | want to | let me | see | to (?:tell|know|check|verify) | look for")
BECAUSE = words("since | as | because | given | considering | inasmuch | being | with | having | seeing")
