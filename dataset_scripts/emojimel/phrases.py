"""What the generated posts are made of. No phrase is tied to a kind, so none of them can tell it."""

OPENERS = (
    """
Ok.|Good morning!|Morning all.|Quick one:|Late night post.|Confession:|Update:|Small update.|Honest question.|So.
Well, well.|Hi everyone!|Hello from {where}.|Back again.|Day {number} of this.|Not sure how to start.|Right then.
Just saying.|Finally!|Nobody asked, but:|Guess what.|True story.|Sorry, one more.|Hear me out.|Unpopular opinion:
As promised.|Long story short:|Breaking news from {where}:|For the record:|Reminder:|Oh no.|Oh wow.|You guys.
Thread, maybe.|From the archive.|Testing, testing.|Look.|Bear with me.|Here we go.|Dear diary,
""".replace("\n", "|")
    .strip("|")
    .split("|")
)

CLAUSES = """
Somebody please explain the {m} to my {who}.
I was not ready for the {m}, not even after {number} years.
My {who} sent me this {m} {when} and never said why.
We talked about the {m} all the way to {where}.
That {m} made my {who} laugh so hard.
Can we agree that the {m} is {adjective}?
I keep coming back to the same {m}, {when} and again today.
My {who} asked for a {m} and this is what arrived.
There is a {m} like that in {where}, I swear.
Who left the {m} here {when}?
The {m} of the week goes to my {who}.
Never trust a {m} that looks this {adjective}.
I would trade my whole {when_noun} for that {m}.
Every {when_noun} needs a {m} like this one.
My {who} says the {m} is overrated. I disagree.
Spotted {when} in {where}: the most {adjective} {m} so far.
All I wanted was a {m}, and look at this.
The {m} again, because my {who} insisted.
Still thinking about that {m} from {when_noun}.
If you need me, I am with the {m} until {when_noun}.
It took {number} attempts, but the {m} is done.
How is a {m} supposed to work in {where}?
Our {m} got more attention than the whole meeting.
They said no {m} in {where}. They were wrong.
I drew a {m} for my {who} and got this reply.
This {m} deserves its own account.
Found the {m} my {who} lost {when}.
Nothing says {when_noun} like a {adjective} {m}.
Ranking every {m} I know, starting with this.
{number} people asked me about the {m} since {when_noun}.
Imagine explaining this {m} to somebody from {where}.
My {who} pointed at the {m} and just nodded.
The {m} was {adjective}, the rest of {when_noun} less so.
Apparently my new personality is the {m}.
I have one question about the {m} and nobody here can answer it.
Pretty sure the {m} was bigger {when}.
Please tell me you also see the {m}.
We came to {where} for the {m} and stayed until dark.
What a {adjective} {m}, says my {who}.
Bought, borrowed or found, a {m} is a {m}.
I said I would stop posting about the {m}. I lied.
Here is the {m} you all voted for {when}.
The kids named the {m} after my {who}.
Note to self: bring the {m} to {where}.
Whoever invented the {m}: thank you.
My feed is one long {m} since {when_noun}.
That awkward moment with the {m} in {where}.
Nobody in {where} believed me about the {m}.
Saving this {m} for a {adjective} {when_noun}.
I need the story behind that {m}, please.
The {m} came {number} minutes late and I forgave it.
Waiting for the {m} with my {who}.
If this {m} could talk, my {who} would be in trouble.
First {m} of the season, and it is {adjective}.
Lost a bet, so now I post a {m} every {when_noun}.
One {m} a day, doctor's orders from my {who}.
In {where} they would call that a {adjective} {m}.
Same {m}, different {when_noun}.
Not my {m}, not my problem.
I may have cried a little over the {m} {when}.
Let us settle this: is that {m} {adjective} or not?
The best part of {where} was the {m}.
Went out for milk, came back with a {m}.
""".strip().split("\n")

CLOSERS = (
    """
Discuss.|Send help.|No regrets.|Thoughts?|More on that tomorrow.|Worth it.|That is all.|Your turn.|Ask me anything.
I rest my case.|Do not tell my {who}.|See you on {day}.|Anyway.|What would you do?|Ten out of ten.|Would recommend.
Never again.|Again next {day}?|Kind regards, my {who}.|Story of my {when_noun}.|Do with that what you will.
Not sponsored.|No notes.|Back to work now.|Be nice in the replies.|You had to be there.|Details on request.
Who is with me?|Over and out.|I said what I said.|Tell your {who}.|Greetings from {where}.|To be continued.
""".replace("\n", "|")
    .strip("|")
    .split("|")
)

ASIDES = {
    0: [""],
    1: """
({a})|Think {a}.|Mood: {a}.|{A}, mostly.|Filed under {a}.|One word: {a}.|Also {a}.|Hello {a}.|Keyword {a}.
{A}, obviously.|Somewhere near {a}.|{A} or not.|Add {a} to that.|Very {a}.|I blame {a}.|All of it {a}.|{A}?|{A}!
""",
    2: """
({a}, {b})|{A} and {b}.|Think {a}, think {b}.|Half {a}, half {b}.|First {a}, then {b}.|Between {a} and {b}.
{A}. {B}. You know.|Some {a}, some {b}.|Less {a}, more {b}.|{A} / {b}.|{A} plus {b}.|Mood: {a}, {b}.|{A}, {b}, repeat.
""",
}
ASIDES = {
    number: frames if isinstance(frames, list) else frames.replace("\n", "|").strip("|").split("|")
    for number, frames in ASIDES.items()
}

BLANKS = {
    "who": "aunt|boss|brother|cousin|dad|flatmate|friend|gran|grandpa|mum|neighbour|nephew|niece|sister|uncle|teammate",
    "where": "Aberdeen|Bergen|Bologna|Bristol|Cork|Dresden|Ghent|Graz|Leeds|Lisbon|Lyon|Malmo|Oslo|Porto|Riga|Turin",
    "when": "yesterday|last week|on Monday|on Friday|last summer|this morning|two days ago|earlier|in March|in October",
    "when_noun": "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday|February|March|July|October",
    "day": "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday",
    "adjective": "odd|fine|brilliant|strange|charming|lovely|weird|proper|famous|silly|tiny|huge|ordinary|stubborn",
    "number": "two|three|four|six|eight|nine|eleven|twelve|twenty|forty",
}
BLANKS = {name: values.split("|") for name, values in BLANKS.items()}

# Neutral words of all lengths: they take the places that context words leave free.
FILLERS = """
now via ask try yep lol btw tbh imo ugh ooh yay etc fyi idk irl omg
also just only even ever much then thus here some none else very post blog feed link poll draft
again about daily today maybe quite still other these those never while since share reply quote tweet vibes
random really simply indeed weekly posted shared series prompt update viewer online offline recent
another perhaps someday anybody anyhow nothing general follows thought caption thread hashtag archive
whatever honestly actually somehow together everyday possibly tomorrow tonight followers comments
somewhere otherwise sometimes certainly yesterday community throwback challenge discussed
absolutely definitely personally originally especially afterwards everything apparently
nevertheless furthermore photooftheday instapicture occasionally particularly
""".split()
