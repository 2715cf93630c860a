/* raft_sim.h: a virtual world around consensus groups: one group of up to seven nodes, a key-value
 * map as its state machine, clients that record what they saw. One thread, virtual time, one seeded
 * generator per concern. Real encoded messages cross the virtual wire; the disk loses what was not
 * synced. Checks run after every event; at the end the histories are judged.
 *
 * The files: raft_world.c time, hosts, net; raft_disk.c disks; raft_kv.c the state machine;
 * raft_client.c the load; raft_plan.c the faults; raft_memory.c one of them; raft_checks.c
 * invariants across nodes; raft_linear.c linearizability. */
#ifndef RAFT_SIM_H
#define RAFT_SIM_H

#include "consensus/raft.h"
#include "proto/base/heap.h"
#include "proto/base/list.h"
#include "proto/base/map.h"
#include "sim/common/story.h"

#define RAFT_HOSTS_MAX 7u
#define RAFT_KEYS 3u
#define RAFT_CLIENTS 5u
#define RAFT_SESSIONS 64u
#define RAFT_OPS_MAX 200u /* per key */

struct raft_world;
struct raft_host;
struct raft_event;

typedef void raft_action(struct raft_world *world, struct raft_event *event);

/* Happens once, then is freed. An event for a host waits while that host is paused, and is lost
 * when its process [boot] ended. */
struct raft_event {
    struct mn_heap_entry due;
    raft_action *action;
    struct raft_host *host; /* NULL: of the world */
    uint64_t boot, number;
    struct mn_buf *buf;
};

/* ---- raft_kv.c ---- */
enum raft_op_kind { RAFT_OP_PUT = 1, RAFT_OP_CAS, RAFT_OP_GET };

struct raft_command {
    uint64_t client, seq;
    enum raft_op_kind kind;
    uint32_t key;
    uint64_t value, expected;
};

struct raft_session {
    uint64_t client, seq, result, used; /* used: index; the oldest one is forgotten when full */
};

struct raft_kv {
    uint64_t index, chain; /* chain: hash of everything applied up to index */
    uint64_t values[RAFT_KEYS];
    struct raft_session sessions[RAFT_SESSIONS];
};

struct mn_buf *raft_kv_encode(const struct raft_command *command);
uint64_t raft_kv_apply(struct raft_kv *kv, const struct raft_entry *entry); /* the result */
struct mn_buf *raft_kv_snapshot(const struct raft_kv *kv);
void raft_kv_restore(struct raft_kv *kv, const struct raft_snapshot *snapshot);

/* ---- hosts ---- */
struct raft_write { /* on its way to the disk */
    struct mn_list list;
    struct raft_persist persist; /* its own copies */
    struct raft_snapshot snapshot;
};

#define RAFT_DISK_HEADS 4u

/* What a record says besides its entries. */
struct raft_disk_head {
    uint64_t term, commit;
    mn_id vote;
    bool is_wounded;
};

/* What cannot be read of a disk when a process starts. */
enum raft_unread {
    RAFT_UNREAD_NOTHING = 0,
    RAFT_UNREAD_ENTRY, /* any entry of the log */
    RAFT_UNREAD_HEAD   /* newest records: with the term and the vote that they held */
};

struct raft_disk {
    struct raft_recovered now; /* what is durable; entries and snapshot data are its own */
    uint64_t synced;           /* entries up to here are known to have been synced */
    bool is_torn;              /* half of a record stands after the last entry */
    bool is_head_synced;       /* the newest record is known to have been synced */
    struct raft_disk_head heads[RAFT_DISK_HEADS]; /* earlier ones, each unlike the next; a ring */
    uint32_t heads_count;
    uint32_t capacity;
    struct mn_list pending; /* struct raft_write */
    bool is_busy;
    mn_time slow_until, full_until;
};

struct raft_parked { /* a message that waits for a write */
    struct mn_list list;
    uint64_t write;
    uint32_t to;
    struct mn_buf *buf;
};

struct raft_waiting { /* a command in the log, not yet applied */
    struct mn_list list;
    uint64_t index, term;
    uint32_t client;
    uint64_t attempt;
};

struct raft_host {
    struct raft_world *world;
    uint32_t index;
    mn_id id;
    struct raft *raft;                    /* NULL while down */
    uint64_t boot, commit_seen, term_led; /* term_led: the term it led when commit_seen was seen */
    uint64_t last_seen, first_seen, config_seen;
    uint64_t log_checked[6];       /* what its log was like when it was checked as a whole */
    bool was_wounded;              /* after the step before */
    uint64_t shown_in, shown_upto; /* while it is wounded: entries that a leader of that term has
                                    * shown it, or that it knew to be committed before */
    uint64_t complete_upto, complete_term; /* it has all that was committed before, as a leader */
    uint64_t config_checked[4];   /* its configuration and the committed one: index, term of each */
    uint32_t clock_permille;      /* its clock runs at so much of true time, since clock_at */
    mn_time clock_at, clock_mono; /* then it showed this */
    mn_time clock_wall;           /* how far its other clock is ahead of this one; it leaps */
    uint32_t outputs_left;        /* of its process, before it has no memory; 0: enough */
    uint32_t none_at;             /* the next step that takes any ends at that one; 0: at none */
    bool is_dying;                /* it has ended, which the world does in a moment */
    mn_time paused_until, tick_at;
    struct raft_config config;
    struct raft_kv kv;
    struct raft_disk disk;
    struct mn_list parked, waiting;
};

/* ---- raft_client.c ---- */
struct raft_op { /* as its client saw it */
    struct raft_command command;
    uint64_t result;
    mn_time called, returned; /* MN_TIME_NEVER: no answer */
};

struct raft_told { /* of a story: begin at this time */
    mn_time at;
    uint64_t seed;
};

struct raft_client {
    uint64_t session, seq, attempt; /* attempt: number of the newest try of anything, by anybody */
    bool is_open;
    struct raft_op op;
    mn_time deadline, tried;
    struct rng rng;   /* of this operation */
    bool is_stepping; /* it will look again */
    struct raft_told told;
    uint64_t known;   /* newest index committed anywhere when the operation began */
    uint64_t witness; /* newest index its session has seen the effect of */
};

struct raft_history {
    struct raft_op ops[RAFT_OPS_MAX];
    uint32_t count;
};

enum raft_fault {
    RAFT_FAULT_LOSS,
    RAFT_FAULT_DUPLICATE,
    RAFT_FAULT_DELAY,
    RAFT_FAULT_CUT,
    RAFT_FAULT_CUT_ONE_WAY,
    RAFT_FAULT_CRASH,
    RAFT_FAULT_PAUSE,
    RAFT_FAULT_SLOW_DISK,
    RAFT_FAULT_CORRUPT,
    RAFT_FAULT_CHURN,
    RAFT_FAULT_TRANSFER,
    RAFT_FAULT_CLOCK,
    RAFT_FAULT_CRASH_WRITE, /* while something is on its way to the disk */
    RAFT_FAULT_FULL,        /* the disk takes nothing for a while: the process ends */
    RAFT_FAULT_TORN,        /* a crash leaves half of a write */
    RAFT_FAULT_ROT,         /* the newest records do not read back, nor term and vote in them */
    RAFT_FAULT_LEAP,        /* a clock leaps, and runs at another rate from then on */
    RAFT_FAULT_MEMORY,      /* none is left in the middle of a step: the process ends there */
    RAFT_FAULT_LATE,        /* what the leader and one other say overtakes itself, or is lost */
    RAFT_FAULT_UNANSWERED,  /* who has just caught up cannot say so; its process may end, too */
    RAFT_FAULT_COUNT,
    RAFT_OP = RAFT_FAULT_COUNT, /* a client begins something: a decision too, no fault */
    RAFT_DECISIONS
};

/* What may last for the whole run, in the order of story.left_out. */
#define RAFT_LASTING                                                                               \
    {                                                                                              \
        RAFT_FAULT_LOSS, RAFT_FAULT_DUPLICATE, RAFT_FAULT_DELAY, RAFT_FAULT_CLOCK, RAFT_FAULT_TORN \
    }
#define RAFT_LASTING_COUNT 5u

struct raft_options {
    const struct story *story; /* seed, times, hosts */
    bool is_told;              /* and all decisions */
    struct story *notes;       /* NULL: nobody wants them */
    bool has_lying_disks;      /* they lose what they said was synced: nothing holds any more, which
                                * shows that the checks see it */
    bool is_verbose;
};

struct raft_chain {                    /* what was committed at an index */
    uint64_t term, hash, committed_in; /* term of the node that applied it first */
};

struct raft_stats {
    uint64_t events, steps, ops, answered, reads, elections, crashes, corruptions, changes,
        snapshots, faults[RAFT_FAULT_COUNT];
    mn_time slowest_leader; /* after the faults ended */
};

struct raft_world {
    struct raft_options options;
    mn_time time;
    struct mn_heap events;
    struct rng rng_net, rng_disk, rng_fault, rng_work, rng_node;
    struct rng rng_strike; /* of the decision that is carried out */
    struct mn_arena arena;
    struct raft_host hosts[RAFT_HOSTS_MAX];
    uint32_t hosts_count;
    uint8_t cut[RAFT_HOSTS_MAX][RAFT_HOSTS_MAX];
    mn_time late[RAFT_HOSTS_MAX]
                [RAFT_HOSTS_MAX]; /* a message takes up to so much longer, or is lost */
    uint32_t faults;              /* set of enum raft_fault */
    uint32_t loss_permille, duplicate_permille, delay_permille;
    mn_time delay_max, fault_every;
    bool is_quiet, is_load_over;
    struct raft_client clients[RAFT_CLIENTS];
    uint64_t sessions_next, attempts, values_next;
    struct raft_history history[RAFT_KEYS];
    struct raft_chain *chain; /* [index] */
    uint64_t chain_count, chain_capacity;
    struct mn_map leaders, entries; /* raft_checks.c */
    struct quorum_config committed; /* newest committed configuration */
    uint64_t committed_index, committed_term;
    uint64_t hash;
    struct raft_stats stats;
    bool has_failed;
    char failure[256];
};

/* raft_world.c */
struct raft_world *raft_world_new(const struct raft_options *options);
void raft_world_free(struct raft_world *world);
bool raft_world_run(struct raft_world *world);
struct raft_event *raft_world_at(struct raft_world *world, mn_time at, raft_action *action,
                                 struct raft_host *host);
void raft_world_fail(struct raft_world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void raft_world_hash(struct raft_world *world, uint64_t what, struct mn_span bytes);
void raft_world_input(struct raft_host *host, const struct raft_input *input);
void raft_world_start(struct raft_host *host, enum raft_unread unread);
void raft_world_crash(struct raft_host *host);
/* From now on its clock shows [leap] more, and runs at [permille] of true time. */
void raft_world_set_clock(struct raft_host *host, mn_time leap, uint32_t permille);
struct raft_host *raft_world_leader(struct raft_world *world); /* of the highest term, or NULL */

void raft_net_send(struct raft_host *from, uint32_t to, struct mn_buf *buf);

/* raft_disk.c */
void raft_disk_write(struct raft_host *host, const struct raft_persist *persist);
void raft_disk_crash(struct raft_host *host); /* its process ends */
/* Reads the log back, up to what does not read. */
void raft_disk_read(struct raft_host *host, enum raft_unread unread);
void raft_disk_done(struct raft_disk *disk);

/* raft_client.c */
void raft_client_start(struct raft_world *world);
void raft_client_begin(struct raft_world *world, uint32_t number, uint64_t seed);
void raft_client_applied(struct raft_host *host, const struct raft_entry *entry, uint64_t result);
void raft_client_on_output(struct raft_host *host, const struct raft_output *out);
void raft_client_lost(struct raft_host *host); /* the process ended */
/* Asks everybody else who thinks that it leads, now that [host] has committed something. */
void raft_client_probe(struct raft_host *host);

/* raft_plan.c */
extern const char *const raft_decision_names[RAFT_DECISIONS];
void raft_plan_start(struct raft_world *world);
void raft_plan_stop(struct raft_world *world);
bool raft_plan_tears(struct raft_world *world);
void raft_plan_on_no_memory(struct raft_host *host);
void raft_plan_on_leader(struct raft_host *host);
void raft_plan_on_write(struct raft_host *host, const struct raft_persist *persist);

/* raft_memory.c: does a step with that input mostly take memory? */
bool raft_memory_is_wanted(const struct raft_input *input);
/* May this step fail at its [at]-th allocation? Fails the run if it ends badly. */
void raft_memory_try(struct raft_host *host, struct mn_now now, const struct raft_input *input,
                     uint32_t at);

/* raft_checks.c */
void raft_checks_init(struct raft_world *world);
void raft_checks_done(struct raft_world *world);
void raft_checks_persist(struct raft_host *host, const struct raft_persist *persist);
void raft_checks_sent(struct raft_host *host, const struct raft_msg *msg);
void raft_checks_applied(struct raft_host *host, const struct raft_entry *entry);
void raft_checks_restored(struct raft_host *host, const struct raft_snapshot *snapshot);
void raft_checks_step(struct raft_host *host);
void raft_checks_end(struct raft_world *world);

/* raft_linear.c: is there an order of the operations on one key that explains all answers? */
bool raft_linear_check(const struct raft_op *ops, uint32_t count);

#endif
