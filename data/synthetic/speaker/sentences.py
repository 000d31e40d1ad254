"""What the demo speaker says: a lively presenter's talk, full of words that call for a gesture.

Written for this project. Plain ASCII, every English phoneme, no names of people.
"""

import random

LETTER = 0.052  # seconds, of espeak-ng at 160 words a minute
SENTENCE = 1.25  # seconds more for each sentence: its slower end, and the pause after it

SENTENCES = tuple(
    line.strip()
    for line in """
    Welcome, come in, and find a good place to sit.
    You see that mountain over there? It is huge.
    I think we should begin with something tiny.
    Stop! Nobody touches the cheese before noon.
    One, two, three, and away goes the balloon.
    Let me show you how the whole thing works.
    Look up, and you will notice a small blue lamp.
    The lift goes down, and then it goes further down.
    There are two doors, and both of them are open.
    All of you have seen a big yellow bus before.
    No, that is not the noise a healthy engine makes.
    Here is the part that always makes me laugh.
    Round and round it spins, like a coin on a table.
    Come here, I want to tell you a little secret.
    My neighbour owns three very large dogs.
    Just think about it for one quiet moment.
    Open the box slowly, because the hinge is loose.
    It was such a tiny fish that we threw it back.
    You and me, we could finish this job by Thursday.
    The prices went up, the quality went down.
    I said stop, and everybody stopped.
    What a huge, wonderful, ridiculous idea!
    There is a small shop around the corner.
    Two thirds of the water had already gone.
    All right, who moved my chair this time?
    Please, no more questions about the giraffe.
    The big question is why the clocks ran backwards.
    Down by the river there is a good path for running.
    Give me three good reasons, and I will join you.
    Do you think the weather will hold until Friday?
    I have been here for nearly nine years now.
    Up there, behind the tower, the sun was rising.
    First you open the valve, then you wait.
    A round table has no head, and that is the point.
    They came from all over the world to taste this soup.
    One of you must have heard the same rumour.
    The bridge is long, high, and astonishingly thin.
    No way, that jump was at least two metres!
    It began as a small spark and became a big fire.
    Sit down, breathe out, and enjoy the silence.
    Think of a number, double it, and take away three.
    My first garden was tiny, about the size of a towel.
    Come on, everyone, the train will not wait for us.
    You could hear the thunder long before the rain.
    Between you and me, I never liked that statue.
    The cat went up the tree, and there it stayed.
    We need a huge pot and a very small spoon.
    Stop me if you have heard this story before.
    I usually drink three cups of coffee before ten.
    Here, take this one, the other is broken.
    All these wires go down into the basement.
    Two of them agreed, and the third one walked out.
    Nobody opens a window when the wind is that strong.
    What goes up must come down, or so they say.
    The museum is open until eight on Wednesdays.
    It looked round from the front and flat from the side.
    No, no, no, you are holding it upside down!
    I could not believe how big the pumpkins were.
    Choose a card, any card, and show it to them all.
    There was one small problem: we had no map.
    Imagine a wheel that never stops turning.
    You push here, and the drawer comes out over there.
    Thank you all for being so patient with me.
    The recipe asks for two eggs and a pinch of salt.
    A tiny crack can sink an enormous ship.
    Can you come a bit closer? Yes, right there.
    Three weeks later the package was still on the boat.
    I think, therefore I forget where I put my keys.
    The road goes up for a mile, then all the way down.
    That was the biggest wave that I have ever seen.
    Stop at the red light and look both ways.
    My grandmother could whistle with two fingers.
    We walked round the lake and never met a soul.
    If you ask me, the old version tasted better.
    Small steps, that is all it really takes.
    Everybody up! The show starts in one minute.
    No one could explain the strange green glow.
    Put the heavy ones down here, and the light ones there.
    It takes three people to carry that piano.
    Open your eyes, this is your first look at the ocean.
    Then a huge shadow came over the valley.
    I would rather have one true friend than fifty admirers.
    Come back tomorrow, and bring your measuring tape.
    You start with a big circle and a smaller one inside.
    There you are! We looked for you all morning.
    I thought about it, and the answer is still no.
    The temperature fell to minus twelve that night.
    Two plus one makes three, even on a Monday.
    Look down: there is a treasure under your feet.
    The village is so small that it has just one street.
    Hold your hands apart, like this, about so wide.
    Who would pay that much for a tiny bottle of perfume?
    We shall now go all the way round, once more.
    Listen to me: you can do this, I know you can.
    Stop pushing, the door opens the other way.
    Up went the curtain, and the children cheered.
    Here comes the part that you were waiting for.
    A huge crowd filled the square from end to end.
    No sugar, no milk, just plain black tea.
    I counted them again: one, two, three, four.
    It is a big world, and we have seen so little of it.
    Let us think about what happens down below.
    The wheels must be perfectly round, or it will shake.
    You there, in the yellow jacket, what do you think?
    Come with me, and watch your head.
    Their house has three floors and a tiny balcony.
    All I want is one evening without a phone call.
    The judge opened the envelope and gave a small cough.
    Zebras, as you know, are rarely on time.
    She pulled the rope down and the bell rang twice.
    Two minutes to go, and we still have no key.
    I grew up in a town with one cinema.
    There is huge potential in that little machine.
    Please stop whispering, I can hear it from here.
    We are going up, up, and over the clouds.
    No matter how big it looks, it weighs almost nothing.
    The tour goes round the castle and ends at the gate.
    You will not find a better view than this one.
    Think big, start small, and never lose your humour.
    My brother measured the garage, and guess what: too narrow.
    Open up, it is only me with the pizza!
    All three judges gave it the same vote.
    A pleasure to see you here on such a foggy night.
    Down here the light is dim, so use your torch.
    The beach was empty, with the usual pair of seagulls.
    Tell me one thing that you learned this year.
    Two small boys shared a huge umbrella.
    I came here to talk about joy, and about cheap shoes.
    Where are the others? Over there, under the oak.
    The first rule is easy: there are no rules.
    Now we stop, turn round, and do it all again.
    Which of you can draw a tiny, perfect square?
    The big drum goes boom, and the small one goes tap.
    You are three steps away from a finished cake.
    Come down from that ladder before you hurt yourself!
    Both hands up, please, and stretch toward the ceiling.
    I think the decision was wise, though a bit rushed.
    All the shelves are open, so help yourself.
    No one told me that the stage could move.
    Here and there a few leaves had turned orange.
    Imagine all of this, the size of your thumb.
    It was a huge success for a very small team.
    A poor connection made her voice sound far away.
    She has a round face, grey eyes, and a loud laugh.
    Two hours up, and only twenty minutes down!
    You can count the exceptions on one hand.
    Thanks to you, my whole kitchen smells of garlic.
    Enough for today, so let us stop right here.
    Close your eyes and think of a warm, bright beach.
    The youngest of the three chose the oldest violin.
    Open or closed, the shop window always draws a crowd.
    Hello, and a warm welcome to the noisiest room in town.
    Hello again, it is lovely to have you back.
    Say goodbye to the old roof, and hello to the new one.
    Four of the five lamps have been repaired.
    I can name five planets, four rivers, and one volcano.
    Five minutes later we were four again.
    On the left, the harbour; on the right, the old town.
    Turn left at the bakery, then go straight ahead.
    My left shoe is dry, the right one is full of sand.
    She left the letter on a low shelf near the door.
    The ceiling is high, but the doorway is awfully low.
    Keep your voice low, and your spirits high.
    How tall does a sunflower grow in one summer?
    Bread needs time to rise, and children need time to grow.
    Mix them together, and watch the dough grow.
    We work together, or we do not work at all.
    Exactly, that is precisely the detail I meant.
    It has to be exactly right, so measure it twice.
    A strong rope, a strong knot, and a little courage.
    What gives this bird the strength to cross an ocean?
    Maybe it will snow, perhaps it will only rain.
    Why not? Maybe we will get lucky this time.
    With all my heart, thank you for coming.
    We love the way the violins join in at the end.
    The river is wide here, and the other bank looks far away.
    Suddenly I had an idea, and everything was clear.
    Move forward, do not look back, and close the gate.
    Close the lid before the steam gets out.
    Either you jump, or you climb; the balance is yours.
    Good night, come again soon, and mind the step.
    """.strip().splitlines()
)


def script(seconds: float, *, seed: int) -> list[str]:
    """Return sentences that take about `seconds` to say, in an order drawn by `seed`.

    None returns before all have been said. There is at least one.
    """
    generator = random.Random(seed)
    chosen: list[str] = []
    pool: list[str] = []
    left = seconds
    while left > 0 or not chosen:
        if not pool:
            pool = generator.sample(SENTENCES, len(SENTENCES))
        chosen.append(pool.pop())
        left -= spoken_seconds(chosen[-1])
    return chosen


def spoken_seconds(sentence: str) -> float:
    """Return about how long `sentence` and the pause after it take, at 160 words a minute."""
    return SENTENCE + LETTER * sum(map(str.isalpha, sentence))
