/* Map and heap against plain models, over random histories of operations. */
#include <check.h>
#include <stdlib.h>

#include "proto/base/heap.h"
#include "proto/base/map.h"
#include "proto/base/memory.h"
#include "tests/suite.h"

#define KEYS 200

struct item {
    struct mn_map_entry entry;
    struct mn_heap_entry due;
    uint32_t number;
    bool is_in;
};

static uint64_t state;

/* xorshift64*: enough for a test, the same numbers on every machine. */
static uint32_t draw(uint32_t below)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)((state * 0x2545f4914f6cdd1dU) >> 32) % below;
}

static struct mn_span item_key(const struct item *item)
{
    return mn_span(&item->number, sizeof item->number);
}

START_TEST(map_agrees_with_a_flag_array)
{
    static struct item items[KEYS];
    struct mn_map map;
    uint32_t count = 0;

    state = (uint64_t)_i * 77 + 1;
    memset(items, 0, sizeof items);
    mn_map_init(&map, (uint64_t)_i);
    for (uint32_t i = 0; i < KEYS; i++)
        items[i].number = i;
    for (int step = 0; step < 5000; step++) {
        struct item *item = &items[draw(KEYS)];
        struct mn_map_entry *found = mn_map_find(&map, item_key(item));
        ck_assert_ptr_eq(found, item->is_in ? &item->entry : NULL);
        if (item->is_in)
            mn_map_remove(&map, &item->entry);
        else
            mn_map_insert(&map, &item->entry, item_key(item));
        item->is_in = !item->is_in;
        count += item->is_in ? 1 : -1U;
        ck_assert_uint_eq(map.count, count);
    }
    for (struct mn_map_entry *e = mn_map_next(&map, NULL); e != NULL; e = mn_map_next(&map, e)) {
        ck_assert(MN_CONTAINER(e, struct item, entry)->is_in);
        mn_map_remove(&map, e); /* allowed while walking */
        count--;
    }
    ck_assert_uint_eq(count, 0);
    mn_map_done(&map);
}
END_TEST

START_TEST(heap_gives_the_earliest_and_ties_in_order_of_setting)
{
    static struct item items[KEYS];
    struct mn_heap heap = {0};
    mn_time last = 0;

    state = (uint64_t)_i * 131 + 5;
    memset(items, 0, sizeof items);
    for (int step = 0; step < 5000; step++) {
        struct item *item = &items[draw(KEYS)];
        mn_time at = draw(8) == 0 ? MN_TIME_NEVER : draw(1000);
        mn_heap_set(&heap, &item->due, at);
        item->is_in = at != MN_TIME_NEVER;
    }
    mn_heap_remove(&heap, &items[0].due);
    mn_heap_remove(&heap, &items[0].due);
    items[0].is_in = false;
    while (heap.count > 0) {
        struct mn_heap_entry *first = mn_heap_peek(&heap);
        ck_assert_uint_ge(first->at, last);
        last = first->at;
        ck_assert(MN_CONTAINER(first, struct item, due)->is_in);
        MN_CONTAINER(first, struct item, due)->is_in = false;
        mn_heap_remove(&heap, first);
    }
    for (uint32_t i = 0; i < KEYS; i++)
        ck_assert(!items[i].is_in);
    ck_assert_uint_eq(mn_heap_deadline(&heap), MN_TIME_NEVER);

    struct mn_heap_entry a = {0}, b = {0}, c = {0};
    mn_heap_set(&heap, &b, 5);
    mn_heap_set(&heap, &a, 5);
    mn_heap_set(&heap, &c, 5);
    ck_assert_ptr_eq(mn_heap_peek(&heap), &b);
    mn_heap_remove(&heap, &b);
    ck_assert_ptr_eq(mn_heap_peek(&heap), &a);
    mn_heap_done(&heap);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("containers");
    TCase *tests = tcase_create("containers");

    suite_add_tcase(suite, tests);
    tcase_add_loop_test(tests, map_agrees_with_a_flag_array, 0, 20);
    tcase_add_loop_test(tests, heap_gives_the_earliest_and_ties_in_order_of_setting, 0, 20);
    return suite_run(suite);
}
