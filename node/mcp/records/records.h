/* records.h: records of which several nodes keep a copy, so that they survive the death of the node
 * that wrote them: here, what legacy sessions are. A record is put by the node whose client changes
 * it, and kept by the RECORDS_COPIES nodes that rank highest for its key (rendezvous hashing,
 * Thaler & Ravishankar 1998) among those this node can reach. Whoever needs one that it does not
 * have asks the RECORDS_ASKED highest ones, and takes the newest answer. So nobody has to remember
 * who keeps what, and a node that dies is replaced by the next in rank.
 *
 * Versions rise by one with each put; two nodes that put at once make one of the two win
 * everywhere. A put also goes to the last nodes that wrote before: who has the word is who
 * wrote last, and a node that hears NEWER asks before it acts on what it knew. A record that was
 * ended stays as a mark without body, so that no old copy brings it back; who keeps one is told to
 * remember it beyond its own end.
 *
 * Soon after it met other nodes (it has just started, or a cut healed) it may not know all of them
 * yet: then it asks for the whole RECORDS_ASK_WAIT, those that it meets meanwhile too.
 *
 * Whoever keeps a record keeps it over its own restarts, too (KEEP, KEPT), so that a mesh whose
 * nodes all die at once has it again. A record that nobody has shown within RECORDS_ASK_WAIT is
 * waited for longer, for RECORDS_LOST_WAIT, if this node met others a moment ago or somebody has
 * not answered.
 *
 * Who wrote before may still have what the record is about: RELAY has a word for these. It is said
 * until they confirm it, for RECORDS_RELAY_LIFE, and at once when one of them comes that could not
 * be reached. So it may arrive twice. It is lost with this node, for those that are away longer,
 * and when too many words wait.
 *
 * It is not agreement: what nobody can be asked for is lost, and a put is answered after
 * RECORDS_WAIT even if too few have it. Records are of members that trust each other; bounds hold
 * against those that do not. Pure, like every core. */
#ifndef RECORDS_H
#define RECORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/rng.h"
#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/id.h"
#include "proto/base/memory.h"
#include "proto/base/time.h"

#define RECORDS_COPIES 2u              /* besides the one of the node that puts it */
#define RECORDS_FORMER 4u              /* earlier writers that a word goes to; */
#define RECORDS_TOLD 2u                /* the last ones of them, that a put goes to, too */
#define RECORDS_ASKED 4u               /* more than keep it: nodes disagree on who can be reached */
#define RECORDS_WAIT (500 * MN_MS)     /* for the copies of a put */
#define RECORDS_ASK_WAIT (300 * MN_MS) /* for answers */
#define RECORDS_LOST_WAIT (3 * MN_SEC) /* for a first one */
#define RECORDS_YOUNG (500 * MN_MS)    /* after other nodes came: there may be more of them */
#define RECORDS_RETRY (100 * MN_MS)    /* what was not confirmed is sent again; doubled, */
#define RECORDS_RETRY_MAX (5 * MN_SEC) /* up to that */
#define RECORDS_LIFE MN_DAY            /* of a copy after the last word from its owner */
#define RECORDS_REFRESH (15 * MN_MINUTE)    /* between two words of the owner */
#define RECORDS_BODY_MAX 131072u            /* bytes */
#define RECORDS_MAX 40000u                  /* at one node, without ended ones */
#define RECORDS_SIZE_MAX ((size_t)64 << 20) /* bytes of all bodies */
#define RECORDS_ENDED_MAX 16384u            /* the oldest is forgotten */
#define RECORDS_ASKS_MAX 1024u /* under way; one more is answered by what is known here */
#define RECORDS_NODES_MAX 1024u
#define RECORDS_PACE 16u /* bytes a microsecond that one member may change here, */
#define RECORDS_PACE_MAX (RECORDS_SIZE_MAX + RECORDS_MAX * RECORDS_PACE_EACH) /* at once, */
#define RECORDS_PACE_EACH ((size_t)1024)         /* and what each change counts beside its body */
#define RECORDS_RELAY_MAX RECORDS_BODY_MAX       /* bytes of a word */
#define RECORDS_RELAY_LIFE MN_MINUTE             /* of a word that is not confirmed */
#define RECORDS_WORDS_MAX 1024u                  /* not confirmed yet; the oldest makes room, */
#define RECORDS_WORDS_SIZE_MAX ((size_t)8 << 20) /* bytes, too */
#define RECORDS_KEY_SIZE 16
#define RECORDS_MESSAGE_MAX (RECORDS_BODY_MAX + 512u) /* bytes; longer ones are dropped */

struct records_key {
    uint8_t bytes[RECORDS_KEY_SIZE];
};

struct records_config {
    mn_id self;
    const uint8_t *seed; /* RNG_SEED_SIZE bytes, of the hash tables */
};

enum records_input_type {
    RECORDS_IN_TICK = 1,
    RECORDS_IN_NODES,   /* nodes: all other members that can be reached, in any order; copied */
    RECORDS_IN_MESSAGE, /* message: from a node whose identity is known */
    RECORDS_IN_PUT,     /* put: from now on it is ours; answered by STORED */
    RECORDS_IN_ASK,     /* key: answered by one FOUND, perhaps at once; asking again meanwhile is
                         * not answered again */
    RECORDS_IN_END,     /* key: ended for good, everywhere; answered by STORED */
    RECORDS_IN_RELEASE, /* key: not ours any more; copies stay for their time */
    RECORDS_IN_RELAY,   /* key, relay: RELAYED at the nodes that wrote it last */
    RECORDS_IN_MARK,    /* key, mark: a mark of an earlier run of this node */
    RECORDS_IN_KEPT     /* key, kept: what KEEP said in an earlier run; after all marks */
};

struct records_input {
    enum records_input_type type;
    struct records_key key;
    union {
        struct {
            const mn_id *items;
            uint32_t count; /* of more than RECORDS_NODES_MAX the rest is ignored */
        } nodes;
        struct {
            mn_id from;
            struct mn_span bytes;
        } message;
        struct {
            struct mn_span message; /* <= RECORDS_RELAY_MAX bytes */
            mn_time said_at;        /* mono: when this node heard it, perhaps a while ago */
        } relay;
        struct mn_span put;  /* <= RECORDS_BODY_MAX bytes */
        struct mn_span kept; /* whatever it is: it is checked */
        uint64_t mark;       /* version */
    };
};

enum records_output_type {
    RECORDS_OUT_SEND = 1, /* to, buf: lost if there is no link */
    RECORDS_OUT_STORED,   /* key, copies_count: all that was put so far is kept as well as can be;
                           * is_ended: so is the mark of its end */
    RECORDS_OUT_FOUND,    /* key, is_found, is_ended, body */
    RECORDS_OUT_NEWER,    /* key, is_ended, body: another node changed a record of ours */
    RECORDS_OUT_RELAYED,  /* key, body, age: what a member said by a relay; perhaps twice */
    RECORDS_OUT_MARK,     /* key, version, is_ended: keep the mark over a restart, or forget it */
    RECORDS_OUT_KEEP      /* key, body: keep that over a restart; empty: forget it */
};

struct records_output {
    enum records_output_type type;
    mn_id to;
    struct mn_buf *buf; /* the receiver of the output owns this ref */
    mn_time age;        /* since that member heard the word, as it says */
    struct records_key key;
    uint64_t version;
    uint32_t copies_count; /* at other nodes */
    bool is_found, is_ended;
    struct mn_span body; /* until the next step */
};

/* Appended to by a step; owned by the caller. */
struct records_outbox {
    struct records_output *items;
    uint32_t count, capacity;
    struct mn_arena *arena;
};

struct records;

struct records *records_new(const struct records_config *config); /* never NULL */
void records_free(struct records *records);
void records_step(struct records *records, struct mn_now now, const struct records_input *input,
                  struct records_outbox *outbox);
mn_time records_deadline(const struct records *records);
void records_check(const struct records *records);

struct records_stats {
    uint32_t kept, ours, ended, asks; /* now */
    size_t size;                      /* bytes of bodies */
    uint64_t puts, puts_short; /* short: answered with fewer copies than there are nodes for */
    uint64_t refused;          /* copies for which there was no room */
    uint64_t throttled;        /* changes by a member that makes too many; it says them again */
    uint64_t malformed;        /* messages */
    uint32_t words;            /* now, that some node has not confirmed */
    uint64_t words_lost;       /* given up, or gone for others */
};

struct records_stats records_stats(const struct records *records);

/* Whether the node keeps that record now, and nobody ended it; for checks. */
bool records_has(const struct records *records, const struct records_key *key);

#endif
