/* decision_internal.h: decision.c: life and the step. decision_book.c: what is known of each.
 * decision_talk.c: what is said when. decision_vote.c: how this node votes. decision_members.c: who
 * has a vote. decision_agree.c: the agreement of a byzantine one. decision_proof.c: evidence
 * against liars. decision_wire.c: proposals and votes as bytes, and what makes one well-formed.
 * decision_verify.c: certificates and evidence with nothing else at hand. */
#ifndef DECISION_INTERNAL_H
#define DECISION_INTERNAL_H

#include "consensus/decision.h"
#include "consensus/simplex.h"
#include "proto/base/list.h"
#include "proto/decision.pb-c.h"
#include "proto/pb.h"

/* Wall clocks of members differ by no more, or we refuse. */
#define DECISION_SKEW_MAX (500 * MN_MS)

/* After the deadline, in which a byzantine one may still be joined, and is not forgotten. */
#define DECISION_AGREE_WINDOW (10 * MN_MINUTE)

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
    bool is_byzantine;
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
/* A vote, or, with [is_late], the word that a validator is late. */
mn_status decision_read_vote(const mn_id *mesh_id, const Meshnode__Decision__Signed *from,
                             bool is_late, struct decision_vote *ret);

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

/* What those who have not decided by the deadline call it: TIMEOUT or NO_QUORUM. */
enum decision_outcome decision_local(const struct decision_proposal *proposal);

struct decision_draft {
    struct mn_arena arena;
    Meshnode__Decision__Message wire;
    uint32_t votes, lates;
};

void decision_draft_init(struct decision_draft *draft);
void decision_draft_proposal(struct decision_draft *draft, const struct decision_signed *bytes);
void decision_draft_vote(struct decision_draft *draft, const struct decision_signed *bytes);
void decision_draft_late(struct decision_draft *draft, const struct decision_signed *bytes);
struct mn_buf *decision_draft_done(struct decision_draft *draft);

/* ---- decision_verify.c ---- */

/* The configuration under which the voters of a byzantine proposal agree; the validators are put
 * into [validators], which must outlive it. Without self and key. */
struct simplex_config
decision_validators(const mn_id *mesh_id, const struct decision_proposal *proposal,
                    struct simplex_validator validators[DECISION_VALIDATORS_MAX]);

/* What an encoded Outcome amounts to; puts its votes into the ballots of [proposal], whatever was
 * there. MN_MALFORMED, MN_BAD_SIGNATURE; also if it may not be agreed on. */
mn_status decision_read_outcome(const mn_id *mesh_id, struct decision_proposal *proposal,
                                const Meshnode__Decision__Outcome *wire,
                                enum decision_outcome *ret);

/* The same with an outcome that is agreed on; the encoded Outcome is put into [arena]. */
mn_status decision_read_agreed(const mn_id *mesh_id, struct decision_proposal *proposal,
                               struct mn_span agreed, struct mn_arena *arena,
                               const Meshnode__Decision__Outcome **ret_wire,
                               enum decision_outcome *ret);

mn_status decision_read_evidence(const mn_id *mesh_id, const Meshnode__Decision__Evidence *from,
                                 struct decision_conviction *ret);

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
    mn_time doubted_since;            /* while our ballot has a cause and no choice */
    uint32_t asks;
    struct decision_agreement *agreement; /* NULL: it is not byzantine */
};

/* Of a byzantine decision. */
struct decision_agreement {
    struct simplex *simplex; /* NULL: not begun, or over */
    struct simplex_validator validators[DECISION_VALIDATORS_MAX];
    struct decision_signed lates[DECISION_VALIDATORS_MAX]; /* [voter] */
    uint64_t lates_weight;
    struct decision_signed own_late; /* until it is durable; then it is among them */
    uint64_t own_late_write;
    bool is_late, has_value, is_over; /* over: it must not speak anew */
    struct mn_list writes;            /* of simplex, and ours that carry them */
    struct mn_list stored; /* records of an earlier process, until simplex has read them */
    uint32_t parts;        /* number of the newest record */
    struct mn_buf *agreed; /* proves the outcome; NULL: not yet */
    mn_time asked_at, tell_every, told_at[DECISION_VALIDATORS_MAX];
};

struct decision_evidence {
    struct mn_list list; /* newest last */
    struct decision_conviction what;
    struct mn_buf *proof; /* what.proof is in it */
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
    mn_time rtt; /* the longest one to any of them; 0: not known */
    uint64_t write_last, dropped;
    struct mn_list evidence;
    uint32_t evidence_count;
    mn_time accuse_at; /* when somebody is told again whom we hold evidence against */
};

/* ---- decision.c ---- */
struct decision_output *decision_emit(struct decision *decision, enum decision_output_type type);
void decision_reply(struct decision *decision, uint64_t request, const mn_id *id, mn_status status);
void decision_send(struct decision *decision, const mn_id *to, struct mn_buf *buf);
/* One more record; [record]'s ref moves on, NULL: forget. Returns the number of the write. */
uint64_t decision_write(struct decision *decision, enum decision_record what, const mn_id *id,
                        uint32_t part, struct mn_buf *record);

/* ---- decision_book.c ---- */
struct decision_item *decision_get(const struct decision *decision, const mn_id *id);
struct decision_item *decision_add(struct decision *decision, struct decision_proposal *proposal);
void decision_drop_item(struct decision *decision, struct decision_item *item);
bool decision_has_room(struct decision *decision, bool is_byzantine);
bool decision_is_binding(const struct decision *decision, const struct decision_item *item);
/* Can nothing change its outcome any more? */
bool decision_is_final(const struct decision_item *item);
void decision_draft_known(const struct decision_item *item, struct decision_draft *draft);
uint64_t decision_persist(struct decision *decision, const struct decision_item *item);
void decision_set_outcome(struct decision *decision, struct decision_item *item,
                          enum decision_outcome outcome);
void decision_judge(struct decision *decision, struct decision_item *item);
void decision_give_up(struct decision *decision, struct decision_item *item);
void decision_note_vote(struct decision *decision, struct decision_item *item, int voter,
                        const struct decision_vote *vote, const Meshnode__Decision__Signed *from);
void decision_read_votes(struct decision *decision, struct decision_item *only,
                         const Meshnode__Decision__Message *wire);
void decision_tell_all(struct decision *decision, const struct decision_item *item,
                       struct mn_buf *buf, bool is_missing_only);
void decision_keep_signed(struct decision_signed *ret, const Meshnode__Decision__Signed *from);

/* ---- decision_talk.c ---- */
void decision_on_propose(struct decision *decision, const struct decision_input *input);
void decision_on_message(struct decision *decision, const mn_id *from, struct mn_span bytes);
void decision_solicit(struct decision *decision, struct decision_item *item);
void decision_inquire(struct decision *decision, struct decision_item *item);
void decision_tick(struct decision *decision);

/* ---- decision_vote.c ---- */
void decision_ask(struct decision *decision, struct decision_item *item);
/* Another voter's word why it does not vote now; for those who look, and counts for nothing. */
void decision_on_doubt(struct decision *decision, const mn_id *from,
                       const Meshnode__Decision__Message *wire);
void decision_on_answer(struct decision *decision, const struct decision_input *input);
void decision_on_durable(struct decision *decision, uint64_t upto);

/* ---- decision_members.c ---- */
const struct decision_member *decision_member_of(const struct decision *decision,
                                                 const mn_id *node);
void decision_members_hash(const struct decision *decision, uint8_t ret[16]);
bool decision_choose_voters(const struct decision *decision, struct decision_proposal *proposal);
void decision_members_done(struct decision *decision);
void decision_on_members(struct decision *decision, const struct decision_member *items,
                         uint32_t count);

/* ---- decision_agree.c; of byzantine ones ---- */
void decision_agree_init(struct decision_item *item);
void decision_agree_done(struct decision_item *item);
/* Forgets what its simplex had on disk. */
void decision_agree_forget(struct decision *decision, struct decision_item *item);
void decision_agree_recover(struct decision *decision, const Meshnode__Decision__Record *record);
/* Begins, or says what to agree on, as soon as what is known allows it. */
void decision_agree_try(struct decision *decision, struct decision_item *item);
void decision_agree_act(struct decision *decision, struct decision_item *item);
void decision_agree_tick(struct decision *decision, struct decision_item *item);
mn_time decision_agree_deadline(const struct decision_item *item);
void decision_agree_on_durable(struct decision *decision, struct decision_item *item,
                               uint64_t upto);
/* [from]: who sent them, and is told the end if that is known here; NULL: they were stored. */
void decision_agree_read_lates(struct decision *decision, struct decision_item *only,
                               const Meshnode__Decision__Message *wire, const mn_id *from);
void decision_agree_read_agreed(struct decision *decision, struct decision_item *item,
                                struct mn_span agreed);
void decision_agree_on_message(struct decision *decision, const mn_id *from, const mn_id *about,
                               struct mn_span bytes);
void decision_agree_check(const struct decision_item *item);

/* ---- decision_proof.c ---- */
bool decision_is_accused(const struct decision *decision, const mn_id *node);
/* Verified or not: what does not convict is dropped. */
void decision_accuse(struct decision *decision, const Meshnode__Decision__Evidence *evidence);
void decision_accuse_pair(struct decision *decision, enum decision_lie lie,
                          const struct decision_signed *a, const Meshnode__Decision__Signed *b);
void decision_accuse_statements(struct decision *decision, const struct decision_item *item,
                                struct mn_span statements);
void decision_on_accused(struct decision *decision, const mn_id *from,
                         const Meshnode__Decision__Message *wire);
void decision_tell_accused(struct decision *decision);
void decision_proof_recover(struct decision *decision, const Meshnode__Decision__Evidence *from);
void decision_proof_done(struct decision *decision);

#endif
