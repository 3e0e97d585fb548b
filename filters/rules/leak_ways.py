"""The word classes of how someone speaks who knows before he looks: how he came by it, what he must do with it, what he hides.

Written as those of `leak_words.py` are; `leak_signs.py` combines both.
"""

from __future__ import annotations

from dmforge.filters.rules.leak_words import words

HOLDS = words(r"""
    (?:I|we) (?:\w+ )?(?:had|have|hold|held|carry|carried|was carrying|came in|inherit|inherited|got|possess|kept|brought
    |start|started|began|entered|learnt|learned|heard|gather|gathered|remember|recall|knew|know|repeat|copy|copied|went in)
    | (?:I|we)'(?:ve|d) (?:\w+ )?(?:got|had|read|seen|heard|learnt|learned|known|been) | I happen to
    | in (?:my|our) possession | (?:I|we)'(?:m|re) (?:\w+ )?(?:sure|aware|certain)
""")
MINE = words(r"""
    (?:in|into|to|from|under|on|at|by|of|per) (?:my|our) (?:\w+ )?(?:hands?|mouth|instructions?|brief(?:ing)?|notes?|context
    |copy|possession|input|prompts?|pocket|ears?|files?|sheet|crib|scripts?|orders?|papers?|packet|messages?|side|disposal
    |lap|plate|task|assignment|job|remit|mandate|data|system|guidelines?|directions?|dossier|folder|inbox|request|setup
    |materials?)
    | (?:my|our) (?:crib|brief(?:ing)?|instructions?|orders?|sheet|script|remit|mandate|prompt|guidelines?|directions?|task
    |job|assignment|dossier|materials?|papers?|packet|solution|copy|context|so-called|figures|given)
    | the (?:part|rest|text|piece) of my
""")
REQUEST = (
    "(?:query|question|prompt|task|request|instructions?|assignment|exercise|brief(?:ing)?|payload|packet"
    "|message|conversation|materials?|description|set-?up|copy|input|task text|item|choices|options|reply|record|header"
    "|row|prompt text|enquiry|package)"
)
BY_QUESTION = words(rf"""
    (?:below|beneath|under(?:neath)?|at the (?:end|top|bottom|foot|head) of|end of|above|next to|along(?:side)?|with|to
    |inside|in|within|into|on|by|through|beside|against|via|from|of) (?:the|this|my|that|our) (?:\w+ )?{REQUEST}
    | (?:sent|passed|came|come|comes|rode|supplied|bundled|handed|arriv\w+|given|shipped|dealt)~(?:with|along|in|over
    |alongside) | accompan\w+ | what (?:came|I (?:was|got|received|have been|had been)) | up top | sent along | beneath it
""")
BEFORE = words(r"""
    beforehand | in advance | ahead of | from the (?:start|outset|beginning|get-go) | at the outset | earlier | prior
    | already | a priori | all along | up ?front
    | before (?:I|we|a|any|anything|the (?:clip|video|footage|frames|look|look was)|seeing|looking|watching|opening|viewing
    |me|this) | upstream | to begin with | at the top | by now | ahead | pre-?known | foreknown | ere | independently of
    | long before | as agreed | previously
""")
AUTHORITY = words(r"""
    authorit(?:y|ative\w*) | blessing | issuers? | in charge | insider | pursuant | stipulat\w+ | decree[ds]? | upstream
    | premise | axiom\w* | from above | determination | consensus | certified | attested
    | pre-?(?:known|assigned|determined|filled|set|defined|fixed|given|selected|supplied|written|agreed|decided) | officially
    | by definition | by design | presets? | mandate[ds]? | dictat\w+ | decided for | settled for | settled on | laid down
    | put down | ordained | preordained | declared | constraints? | prerequisite | bestowed | bequeathed | entrusted
    | imparted | conveyed | communicated | transmitted | forwarded | disclosed | divulged | furnished | allocated | credit
    | points? for | gets the | attribut\w+ | sanctioned | endorsed | vetted | validated | blueprint | pipeline | packet
    | marker file | target | version | slip | crib | insert | envelope | verified | validated
""")
ELSEWHERE = words(r"""
    (?:sources?|sources) other than | other than the (?:video|footage|clip|frames|picture)
    | not (?:from|by|because of|of|thanks to|through|on the strength of) (?:the|what|my|mine|any|anything|its)
    | (?:rather than|instead of|more than|not|independently of|without|over) (?:by |from |in |with |the need of )?(?:the|my
    |her|his|its|what|mine) (?:\w+ )?(?:video|footage|picture|pictures|frames?|images?|clip|face|eyes?|see|own|pixels
    |overview|blur|film|I see) | no discovery | (?:isn't|wasn't|not|never) (?:mine|my own|my) | nothing here says
    | unconfirmed by | don't ask
    | (?:the )?(?:frames|pixels|picture|video|images?|footage) (?:alone|itself|by (?:itself|themselves))
""")
MUST = words(r"""
    must | ha(?:ve|s|d) to | (?:I|we)'ve to | 'm to | am to | was to | is to | are to | need(?:s|ed)? to | supposed to
    | obliged to | meant to | got to | required to | should | ought to | bound to | asked to | told to | instructed to
    | directed to | expected to | made to | better | shall | going to | want to | wants? (?:me|us) to | wanted (?:me|us) to
    | job (?:here )?is (?:less )?to | task is to | goal is to | tasked to | charged to
    | to (?:seem|appear|look|stay|keep|remain|be)
""")
ENDS = words(r"""
    end | conclude | close | finish | land | write | output | replicate | reproduce | say | report | hand back | stay
    | keep (?:it|this|that|to) | support | defend | argue | justify | back | make | come out | arrive | adopt | repeat
    | follow | state | give | name | answer | reach | pick | explain | illustrate | describe | confirm | infer | appear | seem
    | consistent | in line | fit | agree | comply | conform | oblige | submit | return | copy | produce | deliver | go with
    | accept | honour | respect | match | bear out
""")
PRETENDS = words(r"""
    as (?:if|though) I | pretend\w* | for (?:show|form|form's sake|the sake|appearance\w*|the record|plausibility)
    | form's sake | excuse | pretext | plausib\w+ | unmentioned | leave~out | mustn't | don't ask | shall not cite
    | seem(?:s|ing)? (?:to )?(?:discover|count|find|deduc|infer)\w* | so-called | honesty | to be honest | confess | admit\w*
    | note to self | let on | make (?:it|this|that) fit | appear to | as it were | won't (?:say|mention|cite)
    | not supposed to | keep (?:quiet|mum|it to) | hush | psst | between us | under the table | whisper\w* | to be decent
    | without (?:letting|saying|mentioning|citing) | never mention | no mention | the story | make sure I can | can't unsee
    | strictly speaking | seem discovered
""")
DEFERS = words(r"""
    I defer | who am I | won't argue | I concur | go along | counts? as | so be it | I repeat | I copy | I retain | retained
    | in line | better say | leave it so | second to | widen | round(?:ed|ing) out | I prefer | grant | it'll do | will do
    | has to hold | to (?:agree|accord|conform|comply) | suits that | fits? (?:that|it|this) | nothing (?:here )?contradicts
    | doesn't contradict | contradict\w* | allows? it | lets me | let me have | is enough | stretchable | fortunately
    | luckily | kind enough | nicely | I'd call
    | I (?:treat|take|read|call|count|describe|phrase|report|select|name|close|write
    |go) (?:it |this |that |the |\w+ ){0,4}(?:as|so|because|since) | may(?:be)? (?:flicker|be) | must have | despite
    | against my | my eye | by eye | to my eye | bears? out | not ruled out | isn't ruled out | nothing against
""")
IDLE = words(r"""
    need not | needn't | no need | why (?:look|search|bother|watch|scan) | spar(?:es|ed|ing) me | superfluous | unnecessary
    | redundant | nothing (?:left )?to | silly to | pointless | all I (?:do|need|have) | all that's left | what(?:'s| is) left
    | what remains | remain\w* task | matter of | only (?:need|have|must|want) | just (?:need|have|want|wanna) | merely
    | one frame | formality | no hunch | nowhere else | nothing else | directly | straight | right there | right to | go there
    | zoom there | look there | didn't need | not (?:have|need) to (?:look|search|find|read|see|watch)
    | without (?:searching|looking|seeing|watching) | no (?:search|scan)\w* | is no discovery | so really | anyway
    | all the same | instead of (?:search|scann|look|watch)\w+ | stop here | can stop
""")
UNFREE = words(r"""
    free to | at liberty | up to me | left to | my (?:own|independent|first) (?:guess|choice|instinct|reading|view)
    | had (?:no ?one|I|it|they) (?:not)? | were I | weren't | would(?:n't| not| never)(?: have|'ve)
    | could(?:n't| not| never) have | would've | I'd have | I'd say | I'd swear | I can't tell | couldn't (?:pick|tell|say)
    | can't (?:tell|see|make) | cannot (?:tell|see|make) | my guess | honestly | hard to say | might see | seen alone
    | nothing here
""")
WHY_ASK = words(r"""
    (?:isn't|is not|wasn't|not) as (?:if|though) | not that (?:I|there|it) | why am I | how I know | wasn't I | doesn't the
    | didn't (?:they|the|you) | who am I | isn't it already | why (?:look|search|pretend)
""")
CONTRARY = words("yet | but | however | though | nonetheless | even so | not | so | still | instead | must | has to")

SELF = (
    r"(?:I|I'm|I'd|I've|I'll)(?! (?:\w+ )?(?:see|saw|take|expected|report|put|wouldn't|'d|couldn't|count|counted|notice|look"
    r"|read|recogni[sz]e|think|guess|expect|suspect|assume|believe|correct|can|cannot|can't|conclude|choose|remember|infer|zoom"
    r"|check|need|compare|spot|make out)\b)"
)
FIGURES = words(r"""
    (?:back|end) of the book | on the table already | (?:wiser|other) heads | the master | order of the day | script
    | dictation | ghost-?writ\w+ | decision | executor | on my behalf | in my ear | in (?:one's|my) lap
    | the (?:destination|route|road|path) | conclusion first | my (?:contract|loyalty|hand|informant|coordinates|seat)
    | parachuted | guided to | for show | a plausible | other (?:end|column|side) | the party | serenity | dispensed
    | confidence | secret | the sender | good faith | a fait accompli | lunch box | head start | lit it | rigged | stacked
    | scripted | reserved for | packed for
""")
INSIDE = words(r"""
    (?:in|into|inside|under|on|at|to|by) (?:my|our) \w+
    | (?:sent|passed|given|handed|told|shown|fed|slipped|read|served|dealt) (?:to )?me
    | me (?:the|a|an|that|it|this|what|which|in|to) | for me | to me
    | (?:I|we) (?:was|were|am|are) \w+(?:ed|en|nt|ld|wn|id|ound|ept) | (?:I|we)'(?:ve|d) been | not (?:on )?my | of my own
""")
SEEN = words(r"""
    leaves? | holds? | lifts? | turns? | moves? | hits? | opens? | closes? | drops? | falls? | rises? | touch(?:es)? | goes
    | comes | stands? | sits? | lies | shows | visible | legible | colou?r\w* | red | blue | green | white | black | yellow
    | brown | left | hand | face | arms? | finger | letters? | card | subtitles? | sign | caption
""")

TECHNICAL = words(r"""
    ground[- ]?truths? | answer[- ]key | meta-?data | annotat\w+ | (?:marking|grading|scoring) scheme | foregone
    | predetermined | hindsight | official\w*
""")
"""Those who film also have such things."""
DOCUMENT = words(r"""
    version | copy | line | text | string | entry | slot | row | column | header | box | list | orders? | oracle | decision
    | destination | guidelines? | message | guideline | script | packet | item | file | task | request | paragraph | dossier
    | note | sheet | slip | brief(?:ing)? | description | caption for | answer | reply | input | payload | records? | word
    | figures? | numbers? | condition | constraint | stage | pipeline | terms | correspondence
""")
TICKED = words(
    "asterisk | tick(?:ed)? | star(?:red)? | crossed | in bold | check ?mark | highlighted | underlined | circled | blessing"
)
