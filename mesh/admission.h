/* admission.h: how a node becomes a member, and how it lets others in. One core, four roles:
 *
 *   joiner   asks each seed it is linked to for the authority chain, checks it against the pin of
 *            its token, sends a JOIN on the first link that proved the right mesh, gets a grant
 *   sponsor  any member: shows the chain, checks a guest's JOIN, hands it to an issuer
 *   issuer   redeems invites, counts uses, signs grants; renews; creates and withdraws tokens
 *   member   renews its own grant from half life on
 *
 * A joiner without a token waits: its sponsor keeps the link and tells all issuers, who list it
 * until somebody approves or denies its key (PENDING_*).
 *
 * Messages are opaque bytes to the links: the owner feeds those that arrive on a link as
 * ADMISSION_IN_MESSAGE and sends what ADMISSION_OUT_SEND says. Frames of guests carry nothing else.
 * What must survive a restart leaves as ADMISSION_OUT_PERSIST and comes back, in any order, as
 * ADMISSION_IN_RECOVER. An output with after_write waits until everything persisted before it, in
 * this and earlier outboxes, is durable: a grant never leaves before its use is stored.
 *
 * Life: admission_new; RECOVER...; RECOVERED; then, if the state is ADMISSION_EMPTY, FOUND or JOIN.
 */
#ifndef ADMISSION_H
#define ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/authority.h"
#include "crypto/grant.h"
#include "crypto/identity.h"
#include "crypto/invite.h"
#include "crypto/rng.h"
#include "crypto/words.h"
#include "proto/base/bytes.h"
#include "proto/base/id.h"
#include "proto/base/memory.h"
#include "proto/base/status.h"
#include "proto/base/time.h"
#include "proto/base/trace.h"
#include "proto/trust.pb-c.h"

#define ADMISSION_ZONE_SIZE 65
#define ADMISSION_MESSAGE_MAX 65000      /* bytes of a message between members */
#define ADMISSION_GUEST_MESSAGE_MAX 4096 /* bytes of a message from a guest */

typedef Meshnode__Trust__Code admission_code; /* MESHNODE__TRUST__CODE__CODE_... */

/* "token_unknown" and so on; "none" for 0. */
const char *admission_code_name(admission_code code);

/* The joiner gives up for good (exit 77), or tries again after a while. */
bool admission_code_is_final(admission_code code);

enum admission_state {
    ADMISSION_RECOVERING = 1,
    ADMISSION_EMPTY,   /* nothing stored: waits for FOUND or JOIN */
    ADMISSION_JOINING, /* no grant yet, or one that ended so long ago that it is a stranger's */
    ADMISSION_MEMBER,
    ADMISSION_FAILED, /* a final code: the process is to end */
};

struct admission_config {
    const struct identity *self; /* borrowed, outlives the core */
    const char *name;            /* [a-z0-9-]{1,63}; copied, as is region */
    const char *region;          /* may be "" */
    grant_role role;             /* asked for when joining */
    bool dev; /* founds or joins meshes of one machine only, which admit whoever asks */
    uint64_t grant_ttl_ms; /* of a mesh founded here; AUTHORITY_TTL_MIN_MS .. MAX_MS */
    uint8_t seed[RNG_SEED_SIZE];
    const char *zone;    /* copied; "" or NULL: unknown */
    bool no_growth;      /* a founder stays the only issuer */
    const uint8_t *root; /* SIGN_SEED_SIZE bytes of a root key: the mesh lost its issuers, and this
                            member becomes the only one; NULL: no. For admission_new() and the
                            recovery only */
    const struct grant_revoked *revoked; /* who is out; outlives the core; may be NULL */
    size_t memory_max;      /* bytes for invites, issued grants, links; then the answer is "busy" */
    struct mn_trace *trace; /* may be NULL */
};

/* What the other end of a link is to us. */
enum admission_link_kind {
    ADMISSION_LINK_MEMBER = 1, /* both are members of one mesh */
    ADMISSION_LINK_GUEST,      /* it wants in (its HELLO says join or renew) */
    ADMISSION_LINK_SPONSOR,    /* it is a member, we want in */
};

struct admission_link {
    uint64_t link; /* never used twice */
    enum admission_link_kind kind;
    mn_id node_id;
    uint8_t sign_pk[SIGN_PK_SIZE], noise_pk[IDENTITY_NOISE_SIZE];
    uint8_t handshake[INVITE_JOIN_HASH_SIZE]; /* first bytes of the handshake hash */
    uint8_t pin[DIGEST_PIN_SIZE];             /* of the head its HELLO names; zeros: none */
    mn_id mesh_id;                            /* from its HELLO; zero: none */
    struct mn_span grant;                     /* SPONSOR: the Signed Grant of its HELLO; borrowed */
    uint64_t wall_ms;                         /* its clock, from its HELLO */
    struct mn_span address;                   /* "ip:port" as we see it; borrowed */
};

enum admission_input_type {
    ADMISSION_IN_TICK = 1,
    ADMISSION_IN_RECOVER,
    ADMISSION_IN_RECOVERED,
    ADMISSION_IN_FOUND,
    ADMISSION_IN_JOIN,
    ADMISSION_IN_LINK_UP, /* handshake and HELLO are done; before this no message. Again for a link
                             that is known: its kind changed */
    ADMISSION_IN_LINK_DOWN,
    ADMISSION_IN_MESSAGE,
    ADMISSION_IN_REFUSE, /* the owner refuses a peer, such as a second holder of a live identity */
    ADMISSION_IN_CLOCK,  /* a member was refused because its grant seems to be of another time */
    ADMISSION_IN_PULL,   /* a member has another authority document than we */
    ADMISSION_IN_BEHIND, /* we refused a member whose grant names a newer authority than we know; or
                            were refused as revoked */
    ADMISSION_IN_ITEM,   /* an invite or a withdrawal of some issuer, checked by the trust set */
    ADMISSION_IN_PEER,   /* membership: a member came, changed or went (issuers need it) */
    ADMISSION_IN_TOKEN_CREATE,
    ADMISSION_IN_TOKEN_LIST,
    ADMISSION_IN_TOKEN_WITHDRAW,
    ADMISSION_IN_PENDING_LIST,
    ADMISSION_IN_PENDING_APPROVE,
    ADMISSION_IN_PENDING_DENY,
};

struct admission_input {
    enum admission_input_type type;
    union {
        struct {
            struct mn_span key, value;
        } recover;
        struct {
            struct mn_span token; /* mnt1-... made before the mesh; empty: one is made */
        } found;
        struct {
            struct mn_span token; /* mnt1-... or mnp1-...; empty: none */
            uint32_t
                seeds_count; /* mesh_mismatch is final once so many nodes were of other meshes */
            bool is_known;   /* the node key is not new, so the mesh may know it: renew */
        } join;
        struct admission_link link_up;
        struct {
            uint64_t link;
        } link_down;
        struct {
            uint64_t link;
            struct mn_span bytes;
        } message;
        struct {
            uint64_t link;
            admission_code code;
        } refuse;
        struct {
            mn_id node_id;
            uint64_t wall_ms; /* from its HELLO */
        } clock;
        struct {
            mn_id node_id;
        } pull;
        struct {
            mn_id refused_by; /* it says that we are revoked; zero: it was us who refused */
        } behind;
        struct {
            bool is_withdrawal;
            struct mn_span bytes;
        } item;
        struct {
            mn_id node_id;
            bool is_live; /* alive or suspect: its name is taken */
            struct mn_span grant;
            struct mn_span zone; /* where it runs, of its record */
        } peer;
        struct {
            uint64_t request;
            uint32_t uses; /* 0: unlimited */
            uint64_t ttl_ms;
            grant_role role_max;
            struct mn_span name, region; /* may be empty */
        } token_create;
        struct {
            uint64_t request;
        } token_list;
        struct {
            uint64_t request;
            struct mn_span id; /* hex digits from its beginning, at least 4, unambiguous */
            bool is_revoked;   /* [id] has all digits; not to know it (any more) is no failure */
        } token_withdraw;
        struct {
            uint64_t request;
            struct mn_span who; /* the full node id, or all eight words; LIST: not used */
            bool has_role;      /* APPROVE: [role] instead of the one it asks for */
            grant_role role;
        } pending;
    };
};

enum admission_output_type {
    ADMISSION_OUT_PERSIST = 1,
    ADMISSION_OUT_SECRET, /* write a file of mode 0600, or remove it when [bytes] is empty */
    ADMISSION_OUT_SEND,
    ADMISSION_OUT_CLOSE,    /* this link is of no use (any more) */
    ADMISSION_OUT_ADMITTED, /* the guest of this link is a member from now on: treat it as one */
    ADMISSION_OUT_JOINED,   /* we are; on [link] (0: founded, or made by ourselves) */
    ADMISSION_OUT_RENEWED,  /* our grant or our authority changed: announce a new record */
    ADMISSION_OUT_FAILED,   /* final: exit 77 with this code */
    ADMISSION_OUT_TOKEN,    /* answer to TOKEN_CREATE, TOKEN_WITHDRAW, and to FOUND (request 0) */
    ADMISSION_OUT_TOKENS,   /* answer to TOKEN_LIST */
    ADMISSION_OUT_WAITS,    /* the guest of this link waits for people: keep the link. Again each
                               minute, as long as it does */
    ADMISSION_OUT_PENDING,  /* answer to PENDING_* */
    ADMISSION_OUT_ITEM,     /* an invite or a withdrawal was made here: for everybody */
};

enum admission_secret { ADMISSION_SECRET_ROOT_KEY = 1, ADMISSION_SECRET_JOIN_TOKEN };

/* One row of `token ls`. */
struct admission_token {
    mn_id id;
    uint32_t uses, used; /* uses 0: unlimited */
    uint64_t created_ms, not_after_ms;
    grant_role role_max;
    bool is_withdrawn;
};

#define ADMISSION_PENDING_MAX 256        /* that an issuer lists */
#define ADMISSION_PENDING_NETWORK_MAX 32 /* of these, from one /24 (IPv6: /64) */
#define ADMISSION_PENDING_SPONSOR_MAX 64 /* that a sponsor keeps links for */
#define ADMISSION_DENIED_MAX 1024        /* keys that are refused for a day */
#define ADMISSION_ADDRESS_SIZE 64        /* of a guest's address, NUL included */

/* One row of `nodes pending`. */
struct admission_pending_row {
    mn_id node_id, sponsor; /* sponsor: who told it last */
    char name[GRANT_NAME_SIZE], region[GRANT_REGION_SIZE];
    grant_role role; /* that it asks for */
    char address[ADMISSION_ADDRESS_SIZE];
    char words[WORDS_TEXT_SIZE];
    uint64_t since_ms; /* wall */
    uint64_t heard_ms; /* how long ago it was last heard of */
};

struct admission_output {
    enum admission_output_type type;
    bool after_write; /* hold until everything persisted so far is durable */
    union {
        struct {
            struct mn_span key, value;
            bool is_delete;
        } persist;
        struct {
            enum admission_secret what;
            struct mn_span bytes; /* ROOT_KEY: 32-byte seed; JOIN_TOKEN: text */
        } secret;
        struct {
            uint64_t link;
            struct mn_span bytes;
            admission_code refused; /* not 0: this is a refusal, for limits per address */
        } send;
        struct {
            uint64_t link;
            mn_status status; /* why */
        } close;
        struct {
            uint64_t link;
            mn_id node_id;
            struct mn_span grant; /* Signed Grant */
        } admitted;
        struct {
            uint64_t link;
        } joined;
        struct {
            admission_code code;
        } failed;
        struct {
            uint64_t request;
            mn_status status;    /* MN_DENIED: not an issuer; MN_NOT_FOUND, MN_CONFIG, MN_FULL;
                                    MN_NOT_YET: our clock is off */
            struct mn_span text; /* the token string, for CREATE and FOUND; a secret */
            struct admission_token token;
        } token;
        struct {
            bool is_withdrawal;
            struct mn_span bytes;
        } item;
        struct {
            uint64_t request;
            mn_status status;
            const struct admission_token *items;
            uint32_t count;
        } tokens;
        struct {
            uint64_t link;
        } waits;
        struct {
            uint64_t request;
            mn_status status; /* MN_DENIED: not an issuer; MN_NOT_FOUND: nobody of that full id or
                                 of these words waits; MN_EXISTS: its name is taken; MN_FULL;
                                 MN_NOT_YET: our clock is off */
            const struct admission_pending_row *items; /* APPROVE, DENY: one */
            uint32_t count;
        } pending;
    };
};

/* In the order they must start. The caller owns [arena] and resets it between turns; a step
 * appends. */
struct admission_outbox {
    struct admission_output *items;
    uint32_t count, capacity;
    struct mn_arena *arena;
};

struct admission;

/* Never NULL. [config] fields out of range are our bug: check them with grant_name_is_valid() and
 * the like where they come from. */
struct admission *admission_new(const struct admission_config *config);
void admission_free(struct admission *admission);

/* Advances to [now] and handles [input], which is borrowed for the call. Never fails. */
void admission_step(struct admission *admission, struct mn_now now,
                    const struct admission_input *input, struct admission_outbox *outbox);

/* When the next ADMISSION_IN_TICK is due, or MN_TIME_NEVER. Ticking early is harmless. */
mn_time admission_deadline(const struct admission *admission);

/* The invariants, asserted. */
void admission_check(const struct admission *admission);

/* ---- what others ask it; all pure, all borrowed until the next step ---- */

enum admission_state admission_state(const struct admission *admission);

/* The code it failed with, or the last refusal while joining. */
admission_code admission_last_code(const struct admission *admission);

/* What our HELLO says: member, or that we want in (new, or known to the mesh). */
enum admission_hello { ADMISSION_HELLO_MEMBER = 1, ADMISSION_HELLO_JOIN, ADMISSION_HELLO_RENEW };
enum admission_hello admission_hello(const struct admission *admission);

/* Zero before the mesh is known. */
mn_id admission_mesh_id(const struct admission *admission);

/* The newest authority document; NULL before the mesh is known. */
const struct authority *admission_authority(const struct admission *admission);

/* Our own Signed Grant, empty when there is none, and the same decoded, or NULL. */
struct mn_span admission_grant_bytes(const struct admission *admission);
const struct grant *admission_grant(const struct admission *admission);

bool admission_is_issuer(const struct admission *admission);

/* EMPTY although something was stored: it was made with another node key. */
bool admission_has_foreign_state(const struct admission *admission);

/* grant_check() of a peer's Signed Grant under our head, and that it is for this node key: for
 * HELLO and for member records. MN_STATE when we know no mesh yet; others as grant_check(). */
MN_MUST_USE mn_status admission_check_peer(const struct admission *admission, struct mn_now now,
                                           struct mn_span grant_bytes,
                                           const uint8_t sign_pk[SIGN_PK_SIZE], struct grant *ret);

/* 0: our wall clock is fine as far as we know; else the median of at least three peers' clocks less
 * ours, in ms. As long as it is off, an issuer signs nothing and nothing is taken for ended. */
int64_t admission_clock_off_ms(const struct admission *admission);

struct admission_counts {
    uint64_t messages_malformed; /* did not decode, or not allowed on that link */
    uint64_t joins_refused, joins_admitted, renewals;
    uint64_t chains_refused; /* seeds that could not prove the pinned mesh */
    uint64_t forks;
    uint32_t links, forwards, issued, invites; /* held now */
    uint32_t waiters, pending;                 /* links kept here; rows listed here */
};

struct admission_counts admission_counts(const struct admission *admission);

#endif
