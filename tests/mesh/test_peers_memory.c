/* What a stranger costs in memory: half of a page at most until it has shown who it is, two pages
 * as a guest. Counted as what the allocator gets back when the node lets go of all of them. */
#include <malloc.h>
#include <stdio.h>

#include "tests/crypto/support.h"
#include "tests/mesh/peers_world.h"

#define MEMBER MESHNODE__WIRE__HELLO_KIND__HELLO_MEMBER
#define JOIN MESHNODE__WIRE__HELLO_KIND__HELLO_JOIN
#define HALF_OPEN_MAX 4096 /* bytes */
#define GUEST_MAX 8192

static struct world *world;

static void setup(void)
{
    world = world_new();
    world_start(world, 0, 1, MEMBER);
}

static void teardown(void)
{
    world_free(world);
}

/* Bytes that node 0 holds for its connections; it is gone afterwards. 0: a sanitizer's allocator,
 * which does not count. */
static size_t held_by_node(void)
{
    size_t before = mallinfo2().uordblks, after;

    peers_free(world->nodes[0].peers);
    world->nodes[0].peers = NULL;
    after = mallinfo2().uordblks;
    world->nodes[0].is_alive = false;
    return before - after;
}

static size_t per_one(size_t few, size_t many, size_t more)
{
    ck_assert(many > few || (many == 0 && few == 0));
    return (many - few) / more;
}

/* A handshake that was begun and goes no further, with most of a message two still missing. */
static size_t with_half_open(int count)
{
    static const char bytes[] = FRAME_PREAMBLE "\x00\x28 message one must not have a payload....";
    size_t held;
    char address[40];

    for (int i = 0; i < count; i++) {
        snprintf(address, sizeof address, "203.0.%d.1:1000", i);
        world_say(world, world_knock(world, 0, address), mn_span(bytes, 40));
    }
    world_run(world, 20 * MN_MS);
    ck_assert_uint_eq(peers_counts(world->nodes[0].peers).half_open, (uint32_t)count);
    held = held_by_node();
    teardown();
    setup();
    return held;
}

START_TEST(half_open_connections_are_small)
{
    size_t one = with_half_open(2), size = per_one(one, with_half_open(30), 28);

    printf("half-open: %zu bytes each\n", size);
    ck_assert_uint_le(size, HALF_OPEN_MAX);
}
END_TEST

/* Guests that have sent as much as one frame may hold, of which a byte is missing. */
static size_t with_guests(int count)
{
    static char text[FRAME_GUEST_MAX - FRAME_ITEM_HEAD_SIZE];
    size_t held;

    memset(text, 'x', sizeof text);
    for (int i = 1; i <= count; i++) {
        world_start(world, i, (uint8_t)(i + 1), JOIN);
        world_dial_address(world, i, world->nodes[0].address, false);
    }
    world_run(world, MN_SEC);
    ck_assert_uint_eq(peers_counts(world->nodes[0].peers).guests, (uint32_t)count);
    for (int i = 1; i <= count; i++) {
        const struct said *up = world_last(world, i, PEERS_OUT_UP);
        world_input(world, i,
                    &(struct peers_input){.type = PEERS_IN_CONTROL,
                                          .link = up->link,
                                          .bytes = mn_span(text, sizeof text)});
    }
    for (uint32_t i = 0; i < world->wires_count; i++) {
        struct mn_buf *buf = world->wires[i].bytes[1].buf; /* on its way to node 0 */
        ck_assert_uint_gt(buf->size, FRAME_GUEST_MAX);
        buf->size--;
    }
    world_run(world, 100 * MN_MS);
    held = held_by_node();
    teardown();
    setup();
    return held;
}

START_TEST(guests_are_small)
{
    size_t one = with_guests(1), size = per_one(one, with_guests(7), 6);

    printf("guest: %zu bytes\n", size);
    ck_assert_uint_le(size, GUEST_MAX);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("peers_memory");
    TCase *tcase = tcase_create("all");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, half_open_connections_are_small);
    tcase_add_test(tcase, guests_are_small);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
