/* sim.h: a virtual world around real nodes. One thread, virtual time, one event heap ordered by
 * (time, order of scheduling); one seeded generator per concern, so that a new draw in one does not
 * reshuffle the others. Nodes are the product's own: node_step() and nothing else; the world speaks
 * node/edge.h to them. Same seed, same trace hash, whatever the compiler, sanitizer or load.
 *
 * The files: world.c time and events, host.c a machine with a node, net.c streams between hosts,
 * disk.c what survives a crash, log.c the same of the log, server.c and talker.c scripted MCP
 * servers behind child.c and fetch.c, http.c requests of clients, client.c those that call tools,
 * keeper.c those of the strong keyspace, watch.c those that follow the lists, operator.c one who
 * asks a node, faults.c what can go wrong, plan.c when, checks.c what must hold. Scenarios, which
 * know what they look for, are beside this folder. */
#ifndef SIM_H
#define SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/rng.h"
#include "node/edge.h"
#include "node/node.h"
#include "proto/base/heap.h"
#include "proto/base/list.h"
#include "proto/base/map.h"
#include "sim/common/story.h"
#include "sim/common/vlog.h"

#define SIM_PORT 7000
#define SIM_NAME_MAX 16
#define SIM_SERVERS_MAX 4              /* of one host */
#define SIM_CALL_TIMEOUT (20 * MN_SEC) /* as the nodes are configured */
#define SIM_RETRY_MS 300u              /* of a server that wants to be asked again */

struct sim;

typedef void sim_action(struct sim *sim, void *context);

/* One thing that happens later. Embedded in what it is about; run at most once per scheduling. */
struct sim_event {
    struct mn_heap_entry due;
    sim_action *action;
    void *context;
};

struct sim_options {
    const struct story *story; /* seed, times, nodes */
    bool is_told;              /* and all faults */
    struct story *notes;       /* NULL: nobody wants them */
    uint32_t hosts_min;        /* of a drawn number of nodes */
    bool has_faults, is_verbose;
};

/* ---- net.c ---- */
struct sim_conn;

/* From one host to another. */
struct sim_path {
    bool is_cut;     /* nothing passes */
    uint32_t slow;   /* divides the bandwidth, and so many ms more delay; 0: as fast as any */
    mn_time changed; /* when it was cut or mended, slowed or not any more, or lost a connection */
};

struct sim_net {
    mn_time delay;          /* one way, between any two hosts */
    uint64_t bytes_per_sec; /* per connection and direction */
    struct sim_path *paths; /* [from * hosts + to] */
    struct mn_list conns;
    struct mn_buf *recorded; /* first words of some dialer, for strangers to say again; or NULL */
};

/* ---- disk.c ---- */
/* The store of one host: pairs on stable storage, and writes on their way there, in order. */
struct sim_pair;
struct sim_write;

struct sim_disk {
    struct mn_map pairs;    /* struct sim_pair */
    struct mn_list pending; /* struct sim_write, oldest first */
    struct sim_event sync;
    uint64_t lost_writes;
};

/* ---- server.c ---- */
struct sim_host;

enum sim_server_kind { SIM_SERVER_CHILD = 1, SIM_SERVER_HTTP };

/* A scripted MCP server; it lives in the world, so what it did survives its process. */
struct sim_server {
    struct sim_host *host; /* whose configuration names it */
    char name[2 * SIM_NAME_MAX];
    enum sim_server_kind kind;
    bool is_modern;
    uint32_t own_tools;       /* see sim_server_tools() */
    uint32_t secrets;         /* of the tools that only some see: how often they changed, */
    uint32_t untold;          /* and for which of these (SIM_ASKED and so on) it has none */
    bool is_fragile;          /* legacy child: exits when asked what it does not know */
    uint32_t session;         /* legacy, at a URL: the only one it knows; see sim_server_forget() */
    struct mn_buf *listen_id; /* modern child: of the listen of its present process; or NULL */
    mn_time work;             /* how long a call takes */
    uint32_t edition;         /* of its definitions; see sim_server_redefine() */

    bool is_talker; /* talker.c is what is behind it, and not server.c; all below is its own */
    struct mn_list lines; /* struct talker_line */
    uint32_t tasks_last, versions[2], sessions_last;
};

/* ---- host.c ---- */
struct sim_held_input; /* an input that waits while the host is frozen */

struct sim_host {
    struct sim *sim;
    uint32_t index;
    char name[SIM_NAME_MAX]; /* "n3": also its address */
    struct node *node;       /* NULL while the process is down */
    uint64_t boots;          /* processes started here so far */
    mn_time started;         /* when the last one was */
    uint8_t identity_seed[32];
    struct mn_arena arena;
    struct edge_outbox outbox;
    struct mn_trace trace;
    struct mn_trace_event trace_ring[256];
    struct sim_disk disk;
    struct vlog log;
    struct sim_event log_sync;
    struct sim_event tick; /* the node's deadline */
    struct sim_event boot, exit, stop_limit, death;
    bool has_no_token;               /* it waits to be let in, at the first or the second host */
    uint32_t seed;                   /* index of the host that it joins at */
    char token[128];                 /* its own; empty: the mesh's first */
    bool may_be_refused, is_refused; /* the mesh sends it away for good (77): may, did */
    bool dies_writing;               /* soon after its next write has begun */
    bool is_frozen, is_stepping;
    bool has_lost_disk;   /* ever: it may have forgotten what it said */
    mn_time lost_disk_at; /* the last time */
    bool is_offline;      /* URLs cannot be reached from it */
    bool is_stopping;     /* it was told to, and still runs */
    mn_time down_for;     /* once it has stopped */
    mn_time thawed;       /* when it was last; 0: never */
    int64_t wall_offset;  /* of its wall clock, us */
    mn_time set_right;    /* when its wall clock was off last; 0: never */
    struct mn_list held;  /* struct sim_held_input */
    uint64_t id_next;     /* odd ids for accepted connections and exchanges */
    struct mn_list children, fetches, exchanges;
    struct mn_list polls; /* answers that servers at URLs want to be asked for */
    uint32_t servers_count;
    struct sim_server servers[SIM_SERVERS_MAX]; /* what its configuration attaches */
};
/* ---- client.c: one call's life, as an outside observer sees it ---- */
enum sim_call_state { SIM_CALL_OPEN = 1, SIM_CALL_ANSWERED, SIM_CALL_FAILED, SIM_CALL_GONE };

struct sim_call {
    struct mn_map_entry entry; /* in sim->calls, by key */
    char key[24];              /* argument of the tool, unique */
    char tool[2 * SIM_NAME_MAX + 16];
    enum sim_call_state state;
    uint32_t executions; /* how often a server did the work */
    bool is_idempotent;
    mn_time started, ended;
    uint32_t entry_host;
    char reason[64];             /* of a failure */
    uint32_t edition;            /* of the definition by which it was done */
    const struct sim_server *by; /* who did it last; NULL: nobody */
    char did[SIM_NAME_MAX];      /* and which of its tools that was */
    char log_level[12];          /* that a modern server was told with it; empty: none */
};

struct sim_client;
struct sim_keepers;
struct sim_watchers;
struct sim_response;
struct sim_plan;

struct sim_stats {
    uint64_t steps, calls, answered, failed, gone, executions;
    uint64_t crashes, stops, freezes, resets, cuts, notifications;
    uint64_t kept, locks; /* operations on the strong keyspace that are judged; locks taken */
    mn_time recovery;     /* from the last fault to everything known everywhere again */
};

struct sim {
    struct sim_options options;
    mn_time time; /* virtual, from 0 */
    struct mn_heap events;
    struct rng rng_net, rng_disk, rng_fault, rng_work, rng_node;
    struct rng rng_keep; /* of the clients of the keyspace */
    struct rng rng_plan; /* when things go wrong; rng_fault: how, of the fault that strikes */
    struct sim_net net;
    struct sim_host *hosts;
    uint32_t hosts_count;
    struct mn_map calls;
    uint64_t calls_count;
    struct sim_plan *plan; /* NULL while nothing goes wrong */
    uint32_t trouble;      /* one call in so many meets a server in trouble; 0: none does */
    struct sim_client *clients;
    uint32_t clients_count;
    struct sim_keepers *keepers;            /* clients of the strong keyspace, or NULL */
    void *scenario;                         /* of sessions.c, or NULL */
    struct talks *talks;                    /* the ledger of talkers, or NULL */
    void (*scenario_done)(struct sim *sim); /* frees what a scenario keeps, or NULL */
    void (*on_step)(struct sim_host *host); /* of a scenario: after each step of a node; or NULL */
    struct sim_watchers *watchers;          /* those started last, or NULL */
    struct sim_watchers *asked_watchers;    /* those that declared all they can, or NULL */
    bool
        is_polling; /* legacy servers at URLs answer with streams, and end that of a call at once */
    bool is_shy;    /* servers show some tools only to some clients */
    char token[128];       /* joins the mesh; made by the first host */
    uint64_t grant_ttl_ms; /* of the mesh that is founded; 0: as nodes do it */
    bool is_quiet;         /* the faults are over */
    bool is_load_over;     /* no new calls */
    bool has_lost_disk;    /* so a node may have forgotten what it said */
    uint64_t hash;         /* of all that happened */
    struct sim_stats stats;
    uint64_t reported[MN_EV_COUNT]; /* how often each event was */
    bool has_failed;
    char failure[512];
};

/* world.c */
struct sim *sim_new(const struct sim_options *options);
void sim_free(struct sim *sim);
/* Starts all nodes, one after the other, until everybody knows everybody. */
void sim_boot(struct sim *sim);
/* Runs to the end, or to the first failed check. True: all held. */
bool sim_run(struct sim *sim);
void sim_at(struct sim *sim, struct sim_event *event, mn_time at, sim_action *action,
            void *context);
void sim_cancel(struct sim *sim, struct sim_event *event);
void sim_run_until(struct sim *sim, mn_time until);
void sim_hash(struct sim *sim, uint64_t what, struct mn_span bytes);
void sim_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct mn_now sim_now(const struct sim *sim);

/* host.c */
void sim_host_init(struct sim *sim, struct sim_host *host, uint32_t index);
void sim_host_done(struct sim_host *host);
void sim_host_start(struct sim_host *host);
void sim_host_start_at(struct sim_host *host, mn_time at);
void sim_host_crash(struct sim_host *host); /* kill -9: unsynced writes may be lost */
/* kill -9 while it writes next, then a restart. */
void sim_host_crash_writing(struct sim_host *host);
void sim_host_writes(struct sim_host *host); /* it has just begun to */
/* A node that was told to stop finishes what runs, leaves and ends; then it starts again. */
void sim_host_stop(struct sim_host *host, mn_time down_for);
void sim_host_freeze(struct sim_host *host);
void sim_host_thaw(struct sim_host *host);
void sim_host_input(struct sim_host *host, const struct edge_input *input);
uint64_t sim_host_id(struct sim_host *host); /* the next odd id */
void sim_host_set_clock(struct sim_host *host, int64_t offset);
/* Its wall clock is off now. */
bool sim_host_is_astray(const struct sim_host *host);
/* Was it off at some moment of the last [time]? */
bool sim_host_was_astray(const struct sim_host *host, mn_time time);
/* Was it frozen at some moment of the last [time]? */
bool sim_host_was_frozen(const struct sim_host *host, mn_time time);
/* One that serves, by the dice of the load; NULL: hardly any does. */
struct sim_host *sim_pick_ready_host(struct sim *sim);
/* Runs on until everybody knows everybody; after [limit] the run fails. */
void sim_settle(struct sim *sim, mn_time limit);
/* Kills one, starts it a moment later, and settles. */
void sim_kill_one(struct sim *sim);

/* net.c */
void sim_net_init(struct sim *sim);
void sim_net_done(struct sim *sim);
void sim_net_do(struct sim_host *host, const struct edge_output *output);
void sim_net_host_down(struct sim_host *host);
void sim_net_thawed(struct sim_host *host);
void sim_net_reset_one(struct sim *sim); /* cuts a random connection, losing what is in flight */
void sim_net_reset_all(struct sim *sim);
void sim_net_cut(struct sim *sim, uint32_t from, uint32_t to, bool is_cut);
void sim_net_slow(struct sim *sim, uint32_t from, uint32_t to, uint32_t factor); /* 0: fast */
/* Nothing was wrong between the two, in neither direction, in the last [time]. */
bool sim_net_was_sound(const struct sim_host *a, const struct sim_host *b, mn_time time);
void sim_net_stranger(struct sim_host *host); /* who is no node connects to it */
void sim_net_heal(struct sim *sim);

/* disk.c */
void sim_disk_init(struct sim_host *host);
void sim_disk_done(struct sim_host *host);
void sim_disk_do(struct sim_host *host, const struct edge_output *output);
void sim_disk_recover(struct sim_host *host); /* RECOVER..., RECOVERED */
void sim_disk_crash(struct sim_host *host);
void sim_disk_close(struct sim_host *host); /* all writes arrive */
void sim_disk_wipe(struct sim_host *host);

/* log.c */
void sim_log_init(struct sim_host *host);
void sim_log_do(struct sim_host *host, const struct edge_output *output);
void sim_log_recover(struct sim_host *host); /* LOG_RECOVER..., before the disk's RECOVERED */
void sim_log_crash(struct sim_host *host);
void sim_log_close(struct sim_host *host);
void sim_log_wipe(struct sim_host *host);

/* server.c, child.c, fetch.c */
struct sim_reply {
    struct mn_buf *buf; /* JSON, no newline; the caller owns the ref; NULL: nothing to say */
    mn_time delay;
    bool is_silent; /* it should answer, and never does */
    bool is_noisy;  /* a child writes what is no message before */
    bool is_break;  /* instead of the answer its process or connection ends */
};
struct sim_reply sim_server_answer(struct sim *sim, struct sim_server *server,
                                   struct mn_span message);
void sim_server_init(struct sim_host *host);
void sim_server_done(struct sim_host *host);
struct mn_span sim_server_json(struct sim_host *host, struct mn_arena *arena); /* its mcp.json */
/* One more, before the host is started. */
struct sim_server *sim_server_add(struct sim_host *host, enum sim_server_kind kind,
                                  const char *name, bool is_modern);
/* As clients see them that declared [declared]: a ClientCapabilities object; NULL: nothing. */
void sim_server_write_tools(struct sim_server *server, const struct json *declared,
                            struct mn_writer *writer);
struct sim_server *sim_server_find(struct sim_host *host, struct mn_span name);
/* What is behind one URL is one server, whoever asks: the first host's entry speaks for it. */
struct sim_server *sim_server_itself(struct sim_server *server);
uint32_t sim_server_tools(struct sim_server *server); /* how many it has now */
/* The name of one of them; [name] is where it may be written. */
const char *sim_server_tool(uint32_t index, char name[SIM_NAME_MAX]);
void sim_server_change(struct sim_host *host); /* one of its servers gets other tools */
void sim_server_change_one(struct sim_host *host, uint32_t which); /* 0: its child, which says so */
/* What only some are shown, where sim->is_shy: tools of names that all begin with SIM_SHY, and of
 * the first one of all a definition that has that in it. [declared]: SIM_ASKED, SIM_PAIRED and
 * SIM_SHOWN; how many such clients see, and the name of one. */
#define SIM_SHY "shy-"
#define SIM_ASKED 1u  /* elicitation */
#define SIM_PAIRED 2u /* sampling and roots */
#define SIM_SHOWN 4u  /* the extension of user interfaces */
#define SIM_DECLARATIONS 8u
uint32_t sim_server_secrets(struct sim_server *server, uint32_t declared);
const char *sim_server_secret(struct sim_server *server, uint32_t declared, uint32_t index,
                              char name[SIM_NAME_MAX]);
/* How it says to those with SIM_SHOWN what the first of all does; empty: as to everybody. */
const char *sim_server_variant(struct sim_server *server, uint32_t declared,
                               char text[SIM_NAME_MAX]);
/* The object that declares that. */
const char *sim_declaration(uint32_t declared);
void sim_server_change_secrets(struct sim_host *host, uint32_t which);
void sim_server_redefine(struct sim_host *host, uint32_t which); /* its tools mean another thing */
void sim_server_forget(struct sim_host *host); /* one behind a URL forgets its sessions */
void sim_child_do(struct sim_host *host, const struct edge_output *output);
void sim_child_host_down(struct sim_host *host);
void sim_child_crash_one(struct sim_host *host);
void sim_child_say(struct sim_host *host, struct mn_buf *line); /* a line of its stdout */
void sim_fetch_do(struct sim_host *host, const struct edge_output *output);
void sim_fetch_host_down(struct sim_host *host);
void sim_fetch_forget(struct sim_server *server); /* a talker ends its sessions */

/* client.c */
void sim_client_start(struct sim *sim);
void sim_client_stop(struct sim *sim);           /* no new calls; those under way go on */
void sim_client_burst(struct sim_host *host);    /* more calls of one tool at once than may run */
void sim_client_nonsense(struct sim_host *host); /* a request that must be refused */
struct sim_call *sim_call_new(struct sim *sim, struct sim_host *host, const char *tool,
                              bool is_idempotent);
/* A tools/call; the caller owns the ref. [pad]: bytes that it is larger than it must be. */
struct mn_buf *sim_call_body(const struct sim_call *call, bool is_modern, uint32_t pad);
void sim_call_answered(struct sim *sim, struct sim_call *call, const struct sim_response *response);

/* keeper.c */
void sim_keeper_start(struct sim *sim);
void sim_keeper_end(struct sim *sim); /* nothing goes wrong any more: judges what was seen */
void sim_keeper_done(struct sim *sim);

/* watch.c */
/* One at each host follows the endpoint; those started before follow theirs as well. */
void sim_watch_start(struct sim *sim, const char *path);
void sim_watch_done(struct sim *sim);
struct mn_span sim_watch_list(const struct sim *sim,
                              uint32_t host); /* as who was started last knows it */
/* The same of /mcp, by clients that can be asked. */
void sim_watch_start_asked(struct sim *sim);
struct mn_span sim_watch_asked_list(const struct sim *sim, uint32_t host);
/* How often those that cannot be asked were told of a change. */
uint64_t sim_watch_told(const struct sim *sim);

/* plan.c */
void sim_plan_start(struct sim *sim);
void sim_plan_stop(struct sim *sim);

/* checks.c */
void sim_check_step(struct sim_host *host);
void sim_check_call(struct sim *sim, const struct sim_call *call); /* whenever it changes */
bool sim_is_settled(const struct sim *sim);                        /* everybody knows everybody */
void sim_check_settled(struct sim *sim); /* that, and all lists are true */
void sim_check_watched(struct sim *sim); /* so are those that clients follow */
/* Whether [body] is the list that those see that declared [declared]; NULL: it is, else why not.
 * [text]: where that may be written. */
const char *sim_check_shown(struct sim *sim, struct mn_span body, uint32_t declared,
                            char text[512]);
void sim_check_end(struct sim *sim);

#endif
