/* Arbitrary commands, and arbitrary snapshots. First byte 0: a snapshot; else items of u16 size and
 * bytes, each a command of the log; of size 0 and 1 instead: a snapshot in pieces begins, and its
 * next piece. What was taken must be sound and must survive a snapshot; one in pieces must be of
 * the moment at which it began. */
#include <stdlib.h>

#include "node/state/strong.h"
#include "proto/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void survive(const struct strong *map)
{
    struct mn_buf *snapshot = strong_snapshot(map), *again;
    struct strong *other = strong_new(1);

    strong_check(map);
    MN_ASSERT(strong_restore(other, mn_buf_span(snapshot)) == MN_OK);
    again = strong_snapshot(other);
    MN_ASSERT(mn_span_equal(mn_buf_span(snapshot), mn_buf_span(again)));
    mn_buf_unref(snapshot);
    mn_buf_unref(again);
    strong_free(other);
}

static struct mn_buf *expected; /* of the snapshot in pieces; NULL: there is none */

static void save_begin(struct strong *map)
{
    if (expected != NULL) return;
    expected = strong_snapshot(map);
    strong_save_begin(map);
}

static void save_next(struct strong *map, size_t size)
{
    struct mn_buf *whole;

    if (expected == NULL) return;
    whole = strong_save_end(map);
    if (whole == NULL) {
        MN_ASSERT(strong_save_next(map, size).size > 0);
        return;
    }
    MN_ASSERT(mn_span_equal(mn_buf_span(whole), mn_buf_span(expected)));
    mn_buf_unref(whole);
    expected = mn_buf_unref(expected);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct strong *map = strong_new(1);
    uint64_t index = 0;

    if (size > 0 && data[0] == 0) {
        if (strong_restore(map, mn_span(data + 1, size - 1)) == MN_OK) survive(map);
        size = 0;
    }
    for (size_t i = 1; i + 2 <= size;) {
        size_t length = mn_load_u16(data + i);
        if (length > size - i - 2) length = size - i - 2;
        if (length == 0)
            save_begin(map);
        else if (length == 1)
            save_next(map, 1u + data[i + 2]);
        else
            strong_apply(map, ++index, mn_span(data + i + 2, length));
        i += 2 + length;
    }
    while (expected != NULL)
        save_next(map, 1);
    survive(map);
    strong_free(map);
    return 0;
}
