/* decision_internal.h: decision.c: life, the step, what is said when. decision_wire.c: proposals
 * and votes as bytes, what makes one well-formed, offline verification. */
#ifndef DECISION_INTERNAL_H
#define DECISION_INTERNAL_H

#include "consensus/decision.h"
#include "proto/base/list.h"
#include "proto/decision.pb-c.h"
#include "proto/pb.h"

/* A body as it travels; the buffer is our ref. */
struct decision_signed {
    struct mn_buf *body; /* NULL: none */
    uint8_t signature[SIGN_SIZE];
};

/* A proposal, well-formed and rightly signed. */
struct decision_proposal {
    struct decision_signed bytes;
    uint8_t hash[DECISION_HASH_SIZE];
    mn_id id, proposer;
    uint8_t proposer_pk[SIGN_PK_SIZE], members_hash[16];
    struct mn_buf *topic_buf, *value_buf;
    struct mn_span topic, value; /* in these */
    uint32_t quorum_num, quorum_den, voters_count;
    uint64_t created_ms, deadline_ms, total;
    enum decision_basis basis;
    struct decision_ballot *voters; /* by rising node id; choice is ours to fill */
};

struct decision_vote {
    mn_id id;
    uint8_t proposal[DECISION_HASH_SIZE], pk[SIGN_PK_SIZE];
    enum decision_choice choice;
    enum decision_cause cause;
};

/* MN_TOO_BIG, MN_MALFORMED, MN_BAD_SIGNATURE. On success the caller owns [ret] until
 * decision_proposal_done(). */
mn_status decision_read_proposal(const mn_id *mesh_id, const Meshnode__Decision__Signed *from,
                                 struct decision_proposal *ret);
void decision_proposal_done(struct decision_proposal *proposal);
mn_status decision_read_vote(const mn_id *mesh_id, const Meshnode__Decision__Signed *from,
                             struct decision_vote *ret);

/* Index among the voters, or -1. */
int decision_find_voter(const struct decision_proposal *proposal, const mn_id *node);

struct decision_signed decision_sign(const struct decision_config *config, enum sign_tag tag,
                                     struct mn_buf *body); /* takes the ref */
struct mn_buf *decision_pack_vote(const struct decision_vote *vote);
/* Voters by rising id, weights capped. */
struct mn_buf *decision_pack_proposal(const struct decision_proposal *proposal);

/* What votes amount to. */
enum decision_outcome decision_count(const struct decision_proposal *proposal, uint64_t *ret_yes,
                                     uint64_t *ret_no, uint64_t *ret_abstain);

struct decision_draft {
    struct mn_arena arena;
    Meshnode__Decision__Message wire;
    uint32_t votes;
};

void decision_draft_init(struct decision_draft *draft);
void decision_draft_proposal(struct decision_draft *draft, const struct decision_signed *bytes);
void decision_draft_vote(struct decision_draft *draft, const struct decision_signed *bytes);
struct mn_buf *decision_draft_done(struct decision_draft *draft);

struct decision_item {
    struct mn_list list; /* newest first */
    struct decision_proposal proposal;
    struct decision_signed votes[DECISION_VOTERS_MAX]; /* [voter]; no body: none */
    enum decision_outcome outcome;
    bool is_ours;
    int self; /* our index among the voters, or -1 */
    struct decision_vote own;
    struct decision_signed own_bytes; /* until it is durable; then it is among the votes */
    uint64_t own_write;               /* 0: durable, or none */
    mn_time deadline, act_at;         /* mono */
    uint32_t asks;
};

struct decision {
    struct decision_config config;
    mn_id self;
    struct rng rng;
    struct mn_now now;
    struct decision_outbox *outbox;
    struct mn_list items;
    uint32_t items_count;
    struct decision_member *members; /* by rising id */
    mn_id *members_ids;
    uint32_t members_count;
    uint64_t write_last, dropped;
};

/* ---- between decision.c and decision_vote.c ---- */
struct decision_output *decision_emit(struct decision *decision, enum decision_output_type type);
void decision_reply(struct decision *decision, uint64_t request, const mn_id *id, mn_status status);
void decision_send(struct decision *decision, const mn_id *to, struct mn_buf *buf);
uint64_t decision_persist(struct decision *decision, const struct decision_item *item);
struct decision_item *decision_get(const struct decision *decision, const mn_id *id);
bool decision_is_binding(const struct decision *decision, const struct decision_item *item);
void decision_judge(struct decision *decision, struct decision_item *item);
void decision_note_vote(struct decision *decision, struct decision_item *item, int voter,
                        const struct decision_vote *vote, struct mn_span body,
                        const uint8_t *signature);
void decision_ask(struct decision *decision, struct decision_item *item);
void decision_on_answer(struct decision *decision, const struct decision_input *input);
void decision_on_durable(struct decision *decision, uint64_t upto);
const struct decision_member *decision_member_of(const struct decision *decision,
                                                 const mn_id *node);
void decision_members_hash(const struct decision *decision, uint8_t ret[16]);
bool decision_choose_voters(const struct decision *decision, struct decision_proposal *proposal);
void decision_on_members(struct decision *decision, const struct decision_member *items,
                         uint32_t count);

#endif
