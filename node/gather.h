/* gather.h: asking all members the same thing at once: who was asked, what each answered, and when
 * it is enough. Pure; the answers are JSON objects that it does not look into.
 *
 * On the wire: a byte (1: ask, 2: answer), the run's number (u64, big endian), the JSON of an
 * answer. */
#ifndef GATHER_H
#define GATHER_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/id.h"
#include "proto/base/list.h"
#include "proto/base/time.h"

#define GATHER_RUNS_MAX 16u    /* at once */
#define GATHER_NODES_MAX 256u  /* of a run */
#define GATHER_JSON_MAX 65536u /* bytes of an answer */

struct gather_node {
    mn_id id;
    struct mn_buf *json; /* NULL: no answer */
    bool is_over;        /* it answered, or will not */
};

struct gather_run {
    struct mn_list list;
    uint64_t number, ticket; /* ticket: the asker's */
    mn_time begun, deadline;
    uint32_t nodes_count, waiting_count;
    struct gather_node nodes[];
};

struct gather {
    struct mn_list runs;
    uint32_t runs_count;
    uint64_t number_last;
};

void gather_init(struct gather *gather);
void gather_done(struct gather *gather);

/* NULL: too many runs, or nodes. The run lives until it is dropped. */
struct gather_run *gather_begin(struct gather *gather, mn_time now, uint64_t ticket,
                                mn_time timeout, const mn_id *nodes, uint32_t count);

/* What a node says; ignored unless it was asked and has not said anything yet. json == NULL: it
 * cannot be asked, or its link broke. */
void gather_on_answer(struct gather *gather, uint64_t number, const mn_id *from,
                      struct mn_buf *json);
void gather_on_down(struct gather *gather, const mn_id *node);

/* A run that everybody has answered, or whose time is over; NULL: none. */
struct gather_run *gather_next(const struct gather *gather, mn_time now);
mn_time gather_deadline(const struct gather *gather);
void gather_drop(struct gather *gather, struct gather_run *run);
void gather_check(const struct gather *gather);

/* ---- the wire ---- */

enum gather_kind { GATHER_ASK = 1, GATHER_ANSWER };

struct mn_buf *gather_encode(enum gather_kind kind, uint64_t number, struct mn_span json);

/* False: malformed, or too long. */
bool gather_decode(struct mn_span bytes, enum gather_kind *kind, uint64_t *number,
                   struct mn_span *json);

#endif
