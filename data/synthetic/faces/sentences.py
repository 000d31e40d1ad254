"""What the demo faces say: short everyday sentences that fit any mood.

Written for this project. Plain ASCII, every English phoneme, no names of people. The last sixteen
are kept to judge by: nobody who is trained on says them in `make_demo_faces`'s division.
"""

SENTENCES = tuple(
    line.strip()
    for line in """
    The kettle is on the stove.
    My keys are in the bag.
    We leave at half past five.
    The bus stops by the park.
    Put the book on the shelf.
    She painted the fence blue.
    I bought bread and cheese.
    The meeting moved to Monday.
    There is mud on my boots.
    He opened both windows.
    The boat came back empty.
    You left your coat here.
    They moved the piano.
    Somebody fed the fish.
    The path goes over the hill.
    We have four more boxes.
    My brother fixed the lamp.
    The shop closes at six.
    I heard about the move.
    The pump broke this morning.
    A parcel came for you.
    The garden is full of bees.
    Both my parents phoned.
    I wrote it on the map.
    The soup needs more pepper.
    We swapped our places.
    He put the phone away.
    The train goes through a tunnel.
    Everybody saw the film.
    The puppy chewed my shoe.
    I washed the big pot.
    You may open the box.
    Our plane lands at four.
    The road is wet again.
    She knows all about it.
    I forgot my umbrella.
    The fog came up the river.
    They paid for the room.
    My bike is in the shed.
    The baby woke up early.
    We talked for an hour.
    Above the door is a bell.
    The cup fell off the table.
    I should have brought a map.
    The judge read the paper.
    He baked a plum cake.
    Both teams wore yellow.
    The choir sang in the square.
    I found a key in the mud.
    We usually walk home.
    The whole farm was sold.
    My foot is in the bucket.
    Please pass me the butter.
    The moon is above the wood.
    She gave the dog a bone.
    They built a small bridge.
    The barber is away today.
    I have never been there.
    The paint has to dry now.
    A bird flew in here.
    We both voted for it.
    The jar is full of beans.
    He measured the old wall.
    My boss wants a report.
    The beach was all ours.
    You pushed the wrong button.
    I must go back tomorrow.
    The maps are on the desk.
    Push the table over there.
    We found the shop by chance.
    The pool opens in May.
    She bumped into a chair.
    I sold the old van.
    There were five of us.
    My uncle owns the farm.
    The fire went out again.
    We put up the big tent.
    He showed me the photo.
    The bath is full of foam.
    I think it was the wind.
    The baker made a pie.
    We passed the blue house.
    My mother found the map.
    The wheel came off the bus.
    I put five apples in it.
    They shut the front door.
    He moved to another town.
    The pipe above us broke.
    You have paint on your nose.
    We met at the music shop.
    She bought two big pears.
    The boy pulled the rope.
    I saw a fox by the barn.
    The bowl is on the mat.
    Nobody was home before.
    My paper boat sank.
    """.strip().splitlines()
)
NUM_TEST_SENTENCES = 16  # of the sentences, the last ones
TEST_SENTENCE_EVERY = 5  # a person's every fifth sentence is one of these


def sentence_number(person: int, number: int, order: list[int], kept_order: list[int]) -> int:
    """Return which of `SENTENCES` a person's sentence is: each person goes on where others end.

    Args:
        person, number: counted from 0.
        order: a permutation of the sentences to train on.
        kept_order: one of the numbers from 0 to `NUM_TEST_SENTENCES`.
    """
    kept = test_sentences_before(number)
    if is_test_sentence(number):
        return (
            len(SENTENCES)
            - NUM_TEST_SENTENCES
            + kept_order[(3 * person + kept) % NUM_TEST_SENTENCES]
        )
    return order[(9 * person + number - kept) % len(order)]


def is_test_sentence(number: int) -> bool:
    """Say whether a person's sentence, counted from 0, is one of those to judge by."""
    return number % TEST_SENTENCE_EVERY == TEST_SENTENCE_EVERY - 1


def test_sentences_before(number: int) -> int:
    """Return how many of a person's sentences before this one are to judge by."""
    return number // TEST_SENTENCE_EVERY
