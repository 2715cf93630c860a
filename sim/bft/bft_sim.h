/* bft_sim.h: a virtual world around what survives liars: Byzantine agreement (consensus/simplex.h)
 * and signed one-shot decisions (consensus/decision.h). One thread, virtual time, one seeded
 * generator per concern. Real encoded messages cross the virtual wire; the disk loses what was not
 * synced, and tears the last record. Only signatures are modelled (bft_sign.c), because a run makes
 * tens of thousands of them; the unit tests use the real ones.
 *
 * bft_world.c: time, net, disks, crashes; bft_plan.c: what goes wrong, and when. bft_simplex*.c,
 * bft_decide*.c: a core each, as a host runs it, with its liars and its checks. bft_main.c: seeds,
 * replay. */
#ifndef BFT_SIM_H
#define BFT_SIM_H

#include "crypto/rng.h"
#include "crypto/sign.h"
#include "proto/base/buf.h"
#include "proto/base/heap.h"
#include "proto/base/list.h"
#include "proto/base/memory.h"
#include "sim/common/story.h"

#define BFT_HOSTS_MAX 8u

struct bft_world;
struct bft_host;
struct bft_event;

typedef void bft_action(struct bft_world *world, struct bft_event *event);

struct bft_event {
    struct mn_heap_entry due;
    bft_action *action;
    struct bft_host *host;
    uint64_t boot, number; /* boot 0: of no certain process */
    struct mn_buf *buf;
};

struct bft_record { /* on its way to the disk, or there */
    struct mn_list list;
    uint64_t write; /* of this process */
    mn_id key;      /* of those with one key the newest counts; zero: all count */
    struct mn_buf *buf;
};

struct bft_host {
    struct bft_world *world;
    uint32_t index, weight;
    bool is_up, is_liar, is_restored; /* restored: came back with an old disk, so it looks on */
    uint64_t boot;
    mn_time tick_at, paused_until;
    struct sign_key key;
    struct mn_list durable, pending;
    uint32_t durable_count;
    bool is_syncing;
    void *core; /* of the scenario; NULL while down */
    void *scratch;
};

/* What a scenario does with a host. */
struct bft_scenario {
    const char *name;
    void (*begin)(struct bft_world *world);
    void (*start)(struct bft_host *host);
    void (*stop)(struct bft_host *host);      /* the process ends */
    void (*lie)(struct bft_host *host);       /* a liar does something */
    void (*propose)(struct bft_world *world); /* a client does; may be NULL */
    void (*message)(struct bft_host *host, uint32_t from, struct mn_span bytes);
    void (*durable)(struct bft_host *host, uint64_t upto);
    void (*tick)(struct bft_host *host);
    mn_time (*deadline)(const struct bft_host *host);
    void (*quiet)(struct bft_world *world); /* the faults are over */
    bool (*is_done)(struct bft_world *world);
    void (*end)(struct bft_world *world); /* judge */
    void (*finish)(struct bft_world *world);
};

extern const struct bft_scenario bft_simplex, bft_decide;

struct bft_options {
    const struct story *story; /* seed, times, hosts */
    bool is_told;              /* and all decisions */
    struct story *notes;       /* NULL: nobody wants them */
    bool is_verbose;
};

enum bft_fault {
    BFT_FAULT_LOSS,
    BFT_FAULT_DUPLICATE,
    BFT_FAULT_DELAY,
    BFT_FAULT_CUT,
    BFT_FAULT_CRASH,
    BFT_FAULT_PAUSE,
    BFT_FAULT_REPLAY,      /* old messages come again */
    BFT_FAULT_JUNK,        /* changed bits */
    BFT_FAULT_RESTORE,     /* an old disk comes back */
    BFT_FAULT_CRASH_WRITE, /* while something is on its way to the disk */
    BFT_FAULT_LIE,
    BFT_FAULT_COUNT,
    BFT_OP = BFT_FAULT_COUNT, /* a client proposes: a decision too, no fault */
    BFT_DECISIONS
};

/* What may last for the whole run, in the order of story.left_out. */
#define BFT_LASTING_COUNT 3u

extern const char *const bft_decision_names[BFT_DECISIONS];

struct bft_stats {
    uint64_t events, messages, crashes, torn, lies, evidence, decided, iterations;
    uint64_t faults[BFT_FAULT_COUNT];
    uint64_t outcomes[8]; /* of decisions */
};

#define BFT_OLD 64u /* messages remembered for a replay */

struct bft_world {
    const struct bft_scenario *scenario;
    struct bft_options options;
    mn_time time;
    struct mn_heap events;
    struct rng rng_net, rng_disk, rng_fault, rng_liar, rng_work;
    struct rng rng_strike; /* of the decision that is carried out */
    struct mn_arena arena;
    struct bft_host hosts[BFT_HOSTS_MAX];
    uint32_t hosts_count;
    uint64_t total, liars_weight;
    uint32_t faults, loss_permille, duplicate_permille, delay_permille, fault_every;
    mn_time delay_max;
    uint8_t cut[BFT_HOSTS_MAX][BFT_HOSTS_MAX];
    bool is_quiet;
    struct {
        struct mn_buf *buf;
        uint32_t from, to;
    } old[BFT_OLD];
    uint32_t old_next;
    uint64_t hash;
    void *scratch; /* of the scenario */
    struct bft_stats stats;
    bool has_failed;
    char failure[256];
};

struct bft_world *bft_world_new(const struct bft_scenario *scenario,
                                const struct bft_options *options);
void bft_world_free(struct bft_world *world);
bool bft_world_run(struct bft_world *world);
struct bft_event *bft_world_at(struct bft_world *world, mn_time at, bft_action *action,
                               struct bft_host *host);
void bft_world_fail(struct bft_world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void bft_world_hash(struct bft_world *world, uint64_t what, struct mn_span bytes);
struct mn_now bft_now(const struct bft_host *host);
uint32_t bft_draw(struct rng *rng, uint32_t bound);
/* Decides something: notes it, then does it. A story that is told decides by itself. [arg]: the
 * host plus one; 0: drawn, or nobody in particular. */
void bft_world_decide(struct bft_world *world, uint32_t kind, uint32_t arg, uint64_t seed);

/* What a host's core asks for. */
void bft_host_send(struct bft_host *host, uint32_t to, struct mn_buf *buf);
void bft_host_persist(struct bft_host *host, uint64_t write, const mn_id *key,
                      struct mn_buf *record); /* record NULL: forget the key */
void bft_host_arm(struct bft_host *host);
/* The durable records, in the order of writing, in the arena of the world. */
const struct mn_span *bft_host_records(struct bft_host *host, uint32_t *ret_count);

#endif
