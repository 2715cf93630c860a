/* admission_internal.h: what the files of admission share. Nobody else includes it.
 *
 *   admission.c          life, inputs, links, timers, what others ask
 *   admission_store.c    what survives a restart, and the node's own grant and chain
 *   admission_join.c     joiner
 *   admission_renew.c    member: renewal of its own grant
 *   admission_sponsor.c  sponsor: ASK, JOIN, forwarding
 *   admission_issuer.c   issuer: who gets a grant
 *   admission_pending.c  sponsor and issuer: who waits for people to let it in
 *   admission_token.c    issuer: founding, tokens
 *   admission_grow.c     founder: the authority grows to three issuers
 *   admission_clock.c    our wall clock against those of others */
#ifndef ADMISSION_INTERNAL_H
#define ADMISSION_INTERNAL_H

#include "mesh/admission.h"
#include "proto/base/buf.h"
#include "proto/base/heap.h"
#include "proto/base/list.h"
#include "proto/base/map.h"

#define CODE(name) MESHNODE__TRUST__CODE__CODE_##name
#define VIA(name) MESHNODE__TRUST__VIA__VIA_##name
#define ROLE(name) MESHNODE__TRUST__ROLE__ROLE_##name

#define ADMISSION_ASK_TIMEOUT (5 * MN_SEC)      /* a seed proves its mesh, or is dropped */
#define ADMISSION_FORWARD_TIMEOUT (10 * MN_SEC) /* sponsor waits for an issuer */
#define ADMISSION_JOIN_TIMEOUT (15 * MN_SEC)    /* joiner waits for its sponsor */
#define ADMISSION_RETRY_MIN (1 * MN_SEC)
#define ADMISSION_RETRY_MAX (30 * MN_SEC)
#define ADMISSION_GIVE_UP (30 * MN_SEC) /* name_taken and mesh_mismatch become final */
#define ADMISSION_NAME_HOLD                                              \
    (60 * MN_SEC) /* a fresh grant holds its name until membership knows \
                   */
#define ADMISSION_CLOCK_CHECK (1 * MN_MINUTE)
#define ADMISSION_CLOCKS_MAX 8
#define ADMISSION_UPKEEP (1 * MN_HOUR) /* renewal tries, expired invites */
#define ADMISSION_RENEW_MAX_MS \
    ((uint64_t)60 * 86400 * 1000) /* after its end a grant still renews */
#define ADMISSION_FORWARDS_MAX 64
#define ADMISSION_INVITES_MAX 1024
#define ADMISSION_FOUNDS_MAX 4
#define ADMISSION_MISMATCH_MAX 16
#define ADMISSION_BATCH_MAX 60000 /* bytes of documents in one AuthorityChain */
#define ADMISSION_BOOTSTRAP_USES 32
#define ADMISSION_BOOTSTRAP_TTL_MS ((uint64_t)86400 * 1000)

enum timer_kind {
    TIMER_CHANNEL = 1,
    TIMER_FORWARD,
    TIMER_JOIN,
    TIMER_UPKEEP,
    TIMER_CLOCK,
    TIMER_GROW,
    TIMER_WAITER,
    TIMER_PENDING
};

struct timer {
    struct mn_heap_entry entry;
    enum timer_kind kind;
};

/* A link, as admission sees it. */
struct channel {
    struct mn_map_entry entry; /* by id */
    struct mn_list all;        /* oldest first */
    struct timer timer;        /* SPONSOR: ASK or JOIN not answered in time */
    uint64_t id;
    struct admission_link peer;   /* without its grant */
    mn_time heard_at;             /* mono: its HELLO, with its wall clock */
    struct mn_buf *grant;         /* SPONSOR: of its HELLO */
    struct authority_chain chain; /* SPONSOR: as it shows it */
    struct mn_buf *found;         /* SPONSOR: the Signed Found it showed */
    struct mn_buf *join;          /* GUEST: its JOIN, when it came without a token */
    char address[ADMISSION_ADDRESS_SIZE];
    bool is_verified; /* SPONSOR: it proved to be a member of the pinned mesh */
    bool is_waiting;  /* its JOIN is with an issuer */
    bool is_closing;  /* we asked for its end: nothing it says counts */
};

struct forward {
    struct mn_list all;
    struct timer timer;
    uint64_t ticket, link;
    uint8_t sign_pk[SIGN_PK_SIZE]; /* whom the grant must be for */
};

/* A node that holds a grant: issued here, or seen by membership. Issuers only. */
struct holder {
    struct mn_map_entry entry; /* by node_id */
    struct mn_buf *bytes;      /* Signed Grant */
    struct grant grant;        /* points into [bytes] */
    char zone[ADMISSION_ZONE_SIZE];
    mn_time live_since;      /* mono; while it is live */
    bool is_live, is_issued; /* issued: the store has it */
    mn_time held_until; /* mono: its name is taken until then even if membership does not know */
};

struct invite_entry {
    struct mn_map_entry entry; /* by token id */
    struct mn_buf *bytes;      /* Signed Invite; NULL while only the withdrawal is known */
    struct invite invite;
    bool is_withdrawn;
};

/* What a member's wall clock said. */
struct clock_heard {
    mn_id node_id;
    uint64_t wall_ms;
    mn_time at; /* mono */
};

struct found_entry {
    uint8_t token_pk[SIGN_PK_SIZE];
    struct mn_buf *bytes; /* Signed Found */
};

/* The joiner's own affairs. */
struct joining {
    bool has_secret, has_pin, is_known;
    struct sign_key token;
    uint8_t pin[DIGEST_PIN_SIZE];
    uint64_t link;                            /* where a JOIN waits for its answer; 0: none */
    uint32_t retries;                         /* refusals in a row */
    mn_time retry_at;                         /* no JOIN before this */
    mn_time name_taken_since;                 /* 0: not */
    bool is_pending;                          /* [link] keeps us waiting; told so once */
    mn_time mismatch_since;                   /* 0: none */
    mn_id mismatched[ADMISSION_MISMATCH_MAX]; /* nodes of other meshes */
    uint32_t mismatched_count, seeds_count;
};

struct admission {
    struct admission_config config; /* name and region point into this struct */
    char name[GRANT_NAME_SIZE], region[GRANT_REGION_SIZE], zone[ADMISSION_ZONE_SIZE];
    struct rng rng;
    struct mn_pool pool;
    struct mn_heap timers;
    enum admission_state state;
    admission_code last_code;

    struct authority_chain chain;
    uint32_t documents_stored; /* of [chain], in the store under their versions */
    uint64_t signed_version;   /* of the newest document that we signed; 0: none */
    struct mn_buf *recovered_signed;
    bool has_root;
    uint8_t root[SIGN_SEED_SIZE]; /* until it has signed, at the recovery */
    struct mn_buf *grant_bytes;
    struct grant grant; /* own; points into [grant_bytes] */

    struct mn_map links;
    struct mn_list links_all;
    struct joining joining;
    struct timer join_timer, upkeep_timer, clock_timer, grow_timer;

    struct clock_heard clocks[ADMISSION_CLOCKS_MAX]; /* of members that were refused */
    uint32_t clocks_count;
    int64_t clock_off_ms; /* the median of others less ours when it is too much; 0: fine */

    struct mn_list forwards;
    uint32_t forwards_count;
    uint64_t ticket_last;

    struct mn_map holders, invites;
    struct found_entry founds[ADMISSION_FOUNDS_MAX];
    uint32_t founds_count;
    mn_id bootstrap_token;        /* whose file is to be removed at its end; zero: none */
    struct pending_book *pending; /* who waits, who is denied (admission_pending.c) */
    struct mn_list recovered;     /* documents until RECOVERED puts them in order */
    bool is_foreign;              /* what is stored was made with another node key */

    struct admission_counts counts;

    /* Of the step that runs. */
    struct mn_now now;
    struct admission_outbox *outbox;
};

/* ---- admission.c ---- */

struct admission_output *admission_emit(struct admission *a, enum admission_output_type type);

/* Sends [message] over a link; it holds until the store has what was persisted, if so asked. */
void admission_send(struct admission *a, uint64_t link, const Meshnode__Trust__Admission *message,
                    bool after_write);
void admission_send_refused(struct admission *a, uint64_t link, admission_code code);
void admission_close(struct admission *a, struct channel *channel, mn_status status);
struct channel *admission_find_channel(struct admission *a, uint64_t id);
void admission_drop_channel(struct admission *a, struct channel *channel);
void admission_set_timer(struct admission *a, struct timer *timer, mn_time at);
void admission_trace(struct admission *a, enum mn_event event, const mn_id *id, uint64_t a_value,
                     uint64_t b_value, const char *text);

/* A message that does not decode or is out of place. */
void admission_on_malformed(struct admission *a, struct channel *channel, mn_status status);

/* ---- admission_store.c ---- */

void admission_persist(struct admission *a, const char *key, struct mn_span value);
void admission_persist_delete(struct admission *a, const char *key);

/* "<kind>/<32 hex digits>", in the turn's arena. */
char *admission_key(struct admission *a, const char *kind, const mn_id *id);
void admission_on_recover(struct admission *a, struct mn_span key, struct mn_span value);
void admission_on_recovered(struct admission *a);
void admission_store_done(struct admission *a);

/* Writes those documents of the chain that the store does not have, and removes displaced ones. */
void admission_store_chain(struct admission *a, uint32_t from);

/* Makes this Signed Grant our own and persists it. It was checked. */
void admission_adopt_grant(struct admission *a, struct mn_span bytes);

/* Remembers a Found for later joiners; a bad one is ignored. */
void admission_keep_found(struct admission *a, struct mn_span token_pk, struct mn_span bytes,
                          bool persist);

/* ---- admission_join.c ---- */

void admission_on_join_input(struct admission *a, const struct admission_input *input);
void admission_start_joining(struct admission *a);
void admission_on_sponsor_up(struct admission *a, struct channel *channel);
void admission_on_authority(struct admission *a, struct channel *channel,
                            const Meshnode__Trust__AuthorityChain *message);
void admission_on_granted(struct admission *a, struct channel *channel,
                          const Meshnode__Trust__Granted *message);
void admission_on_refused(struct admission *a, struct channel *channel, admission_code code);
void admission_on_sponsor_down(struct admission *a, struct channel *channel);
void admission_on_channel_timer(struct admission *a, struct channel *channel);
void admission_on_join_timer(struct admission *a);
void admission_fail(struct admission *a, admission_code code);

/* Asks for the documents after our head; a member whose HELLO names another head has them. */
void admission_pull_chain(struct admission *a, struct channel *channel);

/* The same because something else than its HELLO told of another head. */
void admission_on_pull(struct admission *a, const mn_id *node_id);

/* The mesh went on without us: back in as a guest, who is shown the chain. */
void admission_on_behind(struct admission *a, const mn_id *refused_by);

/* A JOIN for us over this link, or the renewal of what we have. */
void admission_send_join(struct admission *a, struct channel *channel, const mn_id *mesh_id,
                         bool is_renewal);

/* ---- admission_renew.c ---- */

/* Is this a Signed Grant for us that counts under [head]? */
MN_MUST_USE mn_status admission_check_own(struct admission *a, const struct authority *head,
                                          struct mn_span bytes);
void admission_on_renewed(struct admission *a, const Meshnode__Trust__Granted *message);

void admission_renew_as_guest(struct admission *a);

/* Renews our own grant when it is due; called at every upkeep. Returns when it will be due, or
 * MN_TIME_NEVER. */
mn_time admission_renew_if_due(struct admission *a);

/* ---- admission_sponsor.c ---- */

/* All documents from [from] to the head, in as many messages as it takes. */
struct found_entry;
void admission_send_chain(struct admission *a, struct channel *channel, uint32_t from,
                          const struct found_entry *found, bool after_write);
void admission_on_ask(struct admission *a, struct channel *channel,
                      const Meshnode__Trust__Ask *ask);
void admission_on_join_message(struct admission *a, struct channel *channel, struct mn_span bytes);
void admission_on_forward(struct admission *a, struct channel *channel,
                          const Meshnode__Trust__Forward *forward);
void admission_on_forward_answer(struct admission *a, struct channel *channel,
                                 const Meshnode__Trust__ForwardAnswer *answer);
void admission_on_forward_timer(struct admission *a, struct forward *forward);
void admission_on_refuse_input(struct admission *a, uint64_t link, admission_code code);
void admission_forwards_done(struct admission *a);

void admission_answer_granted(struct admission *a, struct channel *channel, struct mn_span grant);
void admission_answer_refused(struct admission *a, struct channel *channel, admission_code code);

/* The founds we know as fields of a Granted; in the turn's arena. */
void admission_fill_founds(struct admission *a, Meshnode__Trust__Granted *granted);

/* ---- admission_issuer.c ---- */

/* Decides about a JOIN whose signatures were checked: the Signed Grant, borrowed until the next
 * step, or a code. What it issues is persisted; the answer must wait for that. */
admission_code admission_decide(struct admission *a, const struct invite_join *join,
                                struct mn_span *ret_grant);

/* A grant for ourselves. */
void admission_issue_to_self(struct admission *a, grant_via via);
void admission_on_peer_input(struct admission *a, const struct admission_input *input);
struct holder *admission_keep_holder(struct admission *a, struct mn_span grant_bytes);
uint32_t admission_token_uses(const struct admission *a, const mn_id *token_id);
void admission_expire_holders(struct admission *a);
void admission_holders_done(struct admission *a);

/* Issues what people approved: [grant] names key, name, region and role. NAME_TAKEN, BUSY. */
admission_code admission_issue_approved(struct admission *a, struct grant *grant,
                                        struct mn_span *ret_grant);

/* ---- admission_pending.c ---- */

void admission_pending_init(struct admission *a);
void admission_pending_done(struct admission *a);

/* As sponsor: this guest has nothing to show but its key. False: it did bring something, or nobody
 * needs it here, so that the refusal stands. */
bool admission_pending_begin(struct admission *a, struct channel *channel);
void admission_on_waiting(struct admission *a, struct channel *channel,
                          const Meshnode__Trust__Waiting *message);
void admission_on_waiting_answer(struct admission *a, struct channel *channel,
                                 const Meshnode__Trust__WaitingAnswer *message);
void admission_on_waiter_timer(struct admission *a, struct timer *timer);
void admission_on_pending_timer(struct admission *a);

/* The link is gone, or leads to a member now. */
void admission_pending_forget(struct admission *a, const struct channel *channel);

bool admission_is_denied(struct admission *a, const mn_id *node_id);
void admission_recover_denied(struct admission *a, struct mn_span key, struct mn_span value);
void admission_on_pending_list(struct admission *a, uint64_t request);
void admission_on_pending_approve(struct admission *a, const struct admission_input *input);
void admission_on_pending_deny(struct admission *a, const struct admission_input *input);
uint32_t admission_waiters_count(const struct admission *a);
uint32_t admission_pending_count(const struct admission *a);

/* ---- admission_token.c ---- */

void admission_on_found_input(struct admission *a, struct mn_span token_text);
void admission_on_token_create(struct admission *a, const struct admission_input *input);
void admission_on_token_list(struct admission *a, uint64_t request);
void admission_on_token_withdraw(struct admission *a, const struct admission_input *input);
struct invite_entry *admission_find_invite(const struct admission *a, const mn_id *token_id);
struct invite_entry *admission_keep_invite(struct admission *a, struct mn_span bytes);
void admission_on_item(struct admission *a, bool is_withdrawal, struct mn_span bytes);
struct invite_entry *admission_keep_withdrawal(struct admission *a, const mn_id *token_id);

/* Drops invites a day after their end, and the bootstrap token's file at its end. */
void admission_expire_invites(struct admission *a);
void admission_invites_done(struct admission *a);

/* ---- admission_grow.c ---- */

void admission_grow_if_due(struct admission *a);

/* The chain has another head, which came by [from_link] (0: from here): stored, told to others. */
void admission_on_new_head(struct admission *a, uint64_t from_link);
void admission_recover_by_root(struct admission *a);
void admission_recover_signed(struct admission *a);

/* ---- admission_clock.c ---- */

/* Looks again, and tells when the answer changed. */
bool admission_clock_is_off(struct admission *a);
void admission_on_clock_timer(struct admission *a);
void admission_on_clock_input(struct admission *a, const mn_id *node_id, uint64_t wall_ms);

/* Of a member's link that ends: its clock counts for some minutes more. */
void admission_keep_clock(struct admission *a, const struct channel *channel);

static inline struct channel *timer_channel(struct timer *timer)
{
    return MN_CONTAINER(timer, struct channel, timer);
}

static inline struct forward *timer_forward(struct timer *timer)
{
    return MN_CONTAINER(timer, struct forward, timer);
}

#endif
