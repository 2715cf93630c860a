/* records_internal.h: what the parts of records share: records.c steps, records_keep.c keeps,
 * records_spread.c has copies made, records_ask.c asks, records_relay.c says what those shall hear
 * that wrote before, records_rate.c slows down, records_wire.c reads what others say. */
#ifndef RECORDS_INTERNAL_H
#define RECORDS_INTERNAL_H

#include <string.h>

#include "node/mcp/records/records.h"
#include "proto/base/heap.h"
#include "proto/base/list.h"
#include "proto/base/map.h"
#include "proto/record.pb-c.h"

/* One of the nodes that shall keep a record of ours. */
struct copy {
    mn_id node;
    bool is_stored;  /* it has this version */
    bool is_refused; /* it has no room */
};

struct record {
    struct mn_map_entry by_key;
    struct records_key key;
    uint64_t version;
    mn_id writer, former[RECORDS_FORMER]; /* newest first */
    uint32_t former_count;
    struct mn_buf *body;         /* NULL: ended */
    struct mn_heap_entry expiry; /* not ours */
    struct mn_list in_ended;
    bool is_ended, is_ours;

    /* What this node does so that others keep it: while it is ours, or was ended here. */
    struct copy copies[RECORDS_COPIES + RECORDS_TOLD];
    uint32_t copies_count;
    struct mn_heap_entry timer; /* the first of the following */
    mn_time retry_at, retry_delay, refresh_at, give_up_at;
    bool is_awaited;    /* STORED is due, */
    mn_time wait_until; /* by then */
};

/* A record that others are asked for. */
struct ask {
    struct mn_map_entry by_key;
    struct mn_list in_asks; /* in the order of [until] */
    struct records_key key;
    mn_time until;
    mn_id nodes[RECORDS_ASKED]; /* that have not answered yet */
    uint32_t nodes_count;
    mn_id asked[RECORDS_ASKED * 2]; /* all that were */
    uint32_t asked_count;
    bool is_early; /* asked soon after other nodes came: it takes its time */
    bool is_late;  /* the first that shows it ends it */
    mn_time give_up_at;
};

struct records {
    mn_id self;
    struct mn_map by_key, asks, paces;
    struct mn_list asks_order, ended_order;
    struct mn_heap timers, expiries;
    mn_id nodes[RECORDS_NODES_MAX];
    uint32_t nodes_count;
    mn_time grown_at; /* when a node came last; 0: before the first step */
    struct mn_list words;
    struct mn_heap word_timers;
    size_t words_size;  /* bytes */
    uint64_t word_last; /* its number; an earlier run's are others */
    struct mn_arena scratch;
    struct records_stats stats;

    /* Of the step under way. */
    struct mn_now now;
    struct records_outbox *outbox;
};

/* ---- records_keep.c ---- */

struct mn_span records_key_span(const struct records_key *key);
struct mn_span records_body(const struct record *record); /* empty: it ended */

/* NULL: not kept here. */
struct record *records_find(const struct records *records, const struct records_key *key);

/* Without anything in it yet. */
struct record *records_add(struct records *records, const struct records_key *key);

/* Frees it. Unless it ended, the store is told to keep it no longer, either. */
void records_drop(struct records *records, struct record *record);

/* Room for a body, in a record more if [is_new]; what expires first goes. Records of ours stay. */
bool records_make_room(struct records *records, size_t size, bool is_new);
void records_set_body(struct records *records, struct record *record, struct mn_span body);

/* For good. The oldest end may be forgotten for it. */
void records_set_ended(struct records *records, struct record *record);
void records_bound_ended(struct records *records);
void records_set_expiry(struct records *records, struct record *record, mn_time life);

/* Below 0: the record is older than that. */
int records_compare(const struct record *record, uint64_t version, const mn_id *writer);

/* Lives until the owner resets its outbox. */
struct records_output *records_emit(struct records *records, enum records_output_type type,
                                    const struct records_key *key);

/* KEEP: it is another one now, or a new one, and shall outlive this node; or shall not. */
void records_emit_keep(struct records *records, const struct record *record);
void records_emit_forget(struct records *records, const struct records_key *key);

/* FOUND or NEWER. */
void records_emit_record(struct records *records, enum records_output_type type,
                         const struct records_key *key);
void records_emit_send(struct records *records, const mn_id *to,
                       const Meshnode__Record__Packet *packet, const struct records_key *key);
void records_pack(const struct record *record, Meshnode__Record__Record *ret,
                  ProtobufCBinaryData former[RECORDS_FORMER]); /* for the whole life of *ret */

/* ---- records_spread.c ---- */

bool records_is_among(const mn_id *nodes, uint32_t count, const mn_id *node);

/* The [max] <= RECORDS_ASKED nodes that rank highest for the key, highest first; how many. */
uint32_t records_pick(const struct records *records, const struct records_key *key, mn_id *ret,
                      uint32_t max);

/* Its present version goes to the nodes that shall keep it, and to those that wrote before: they
 * may think that they still have the word. */
void records_spread(struct records *records, struct record *record);

/* The nodes are others now. Those that have it and still shall keep it are not told again. [moved]
 * counts those that are, which are told bit by bit. */
void records_spread_move(struct records *records, struct record *record, uint32_t *moved);
void records_spread_on_time(struct records *records, struct record *record);
void records_send(struct records *records, const struct record *record, const mn_id *to);

/* Somebody that shall keep it has not confirmed it. */
bool records_has_open_copy(const struct record *record);

/* Says so, if it is awaited. */
void records_tell_stored(struct records *records, struct record *record);

/* Its timer, after anything about its copies changed. */
void records_arm(struct records *records, struct record *record);

/* ---- records_ask.c ---- */

/* NULL: not asked for. */
struct ask *records_ask_find(const struct records *records, const struct records_key *key);
void records_ask_free(struct records *records, struct ask *ask);
void records_ask_begin(struct records *records, const struct records_key *key);

/* To the highest ones that were not asked yet, as far as there is room to remember them. */
void records_ask_send(struct records *records, struct ask *ask);

/* One of those that were asked has; the last one ends it. */
void records_ask_answered(struct records *records, struct ask *ask, const mn_id *node);

/* Its time is up. What nobody has shown may be at a node that is slow, or only just coming. */
void records_ask_on_time(struct records *records, struct ask *ask);
void records_ask_end(struct records *records, struct ask *ask);

/* ---- records_relay.c ---- */

void records_relay(struct records *records, const struct records_key *key, struct mn_span message,
                   mn_time said_at);

/* The nodes are others than the [old] ones now. */
void records_relay_on_nodes(struct records *records, const mn_id *old, uint32_t old_count);
void records_relay_confirmed(struct records *records, const mn_id *from,
                             const struct records_key *key, uint64_t number);
void records_relay_on_time(struct records *records);
void records_relay_done(struct records *records);
void records_relay_check(const struct records *records);

/* ---- records_rate.c ---- */

/* [node] changes a record here, which will have [size] bytes. False: it does that too often. */
bool records_pace_take(struct records *records, const mn_id *node, size_t size);
void records_pace_done(struct records *records);

/* ---- records_wire.c ---- */
void records_on_message(struct records *records, const mn_id *from, struct mn_span bytes);
void records_on_kept(struct records *records, const struct records_key *key, struct mn_span bytes);

#endif
