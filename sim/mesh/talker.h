/* talker.h: scripted MCP servers of both eras that do more than answer plain calls: they ask their
 * clients, report, keep tasks and tell of changes; and the ledger in which the world notes both
 * sides of every call. talker_call.c: calls and questions; talker_task.c: tasks;
 * talker_resources.c: resources.
 *
 * A server learns from the ledger what a call wants of it, so that a call's arguments are its key
 * and nothing else. What is said about a call always names its key, and what a client says always
 * names the client: whatever reaches the wrong one shows. */
#ifndef SIM_TALKER_H
#define SIM_TALKER_H

#include "node/json/json.h"
#include "sim/mesh/sim.h"

#define TALK_QUESTIONS_MAX 3u
#define TALK_RESOURCES 2u               /* of a server */
#define TALK_UNKNOWN "no such resource" /* what a server says of any other */
#define TALK_KEY_SIZE 24
#define TALK_LIMITS ((struct json_limits){.depth_max = 64, .depth_kept = 10, .nodes_max = 65536})
#define TALK_TASKS "io.modelcontextprotocol/tasks"
#define TALK_ASIDE "aside " /* what is logged between calls begins so; the call before follows */

#define TALK_STEPS_COUNT 4u

enum talk_script {
    TALK_PLAIN,   /* works, answers */
    TALK_ASK,     /* asks its client before it answers, if it may */
    TALK_STEPS,   /* reports progress and logs before it answers */
    TALK_ENDLESS, /* reports progress until it is cancelled */
    TALK_TASK,    /* is a task */
    TALK_SCRIPTS
};

enum talk_state { TALK_OPEN = 1, TALK_ANSWERED, TALK_FAILED, TALK_GONE, TALK_CANCELLED };

struct talk {
    struct mn_map_entry by_key;
    char key[TALK_KEY_SIZE];
    enum talk_script script;
    struct sim_server *server; /* whose tool it is */
    uint32_t client;
    bool can_be_asked, is_modern; /* its client */
    bool is_strict;               /* nothing went wrong while it ran, and nothing may */
    bool is_calm;                 /* nothing but the death of one node at a time */
    uint64_t server_boots;        /* of its server's host, when it began */
    uint32_t questions;           /* that its server has */
    bool is_one_by_one;           /* modern: a round for each */

    /* at the server */
    uint32_t runs, ends;        /* began; answered */
    uint32_t open;              /* requests about it that wait there */
    uint32_t answers, refusals; /* to its questions */
    bool was_cut;               /* a process or session that worked on it ended */
    bool is_task_over;
    mn_time task_over;     /* since when */
    mn_time task_reported; /* legacy: its last progress */
    uint32_t task_reports;
    bool is_aside_asked;
    mn_time aside_said; /* when something was said to its client of no call; 0: nothing */

    /* at the client */
    enum talk_state state;
    mn_time started, cancelled; /* 0: not */
    const struct sim_host *cancelled_at;
    uint64_t cancelled_boots; /* of that host, then */
    uint32_t steps;           /* progress heard of */
    uint32_t logs;            /* log messages heard, of those */
    uint32_t asides_heard;    /* or answered */
    uint32_t asides_asked;    /* that it was asked */
    char reason[64];
};

struct talk_client;
struct talk_follower;
struct talk_batcher;

struct talks {
    struct sim *sim;
    struct json_parser *parser;
    struct mn_map by_key; /* struct talk */
    uint64_t count;
    struct talk_client *clients;
    uint32_t clients_count;
    struct talk_batcher *batchers;
    uint32_t batchers_count;
    struct talk_follower *followers;
    uint32_t followers_count;
    bool is_strict;    /* the world is whole, and stays so */
    bool is_calm;      /* nothing goes wrong but that one node dies at a time */
    bool is_sound;     /* it was whole, and since then nothing goes wrong but that nodes die */
    bool is_load_over; /* no new calls */
    bool is_over;      /* nobody follows any more */
    bool has_left;     /* a question to a modern client was left unanswered, by whatever fault */
    bool has_died;     /* a node, while calls ran */
    bool may_abandon;  /* clients may leave a question unanswered, and not come back */
    uint64_t answered[TALK_SCRIPTS], asked, elsewhere, updates, moves, resumed, asides,
        asides_asked, theirs_wanted, theirs_asked, refusals; /* what was tried */
};

/* The first of an array; NULL: there is none, or it is no array. */
static inline const struct json *talk_first(const struct json *array)
{
    return json_is(array, JSON_ARRAY) ? json_first(array) : NULL;
}

struct talk *talk_find(struct sim *sim, struct mn_span key);

/* ---- talker.c ---- */

/* A process, or a session over HTTP, of a server. */
struct talker_line;

/* [message]: one JSON-RPC message, borrowed. [exchange]: what it belongs to, as given to
 * talker_hear(); 0: nothing that was asked. [is_last]: no more belongs to it. */
typedef void talker_say(void *context, uint64_t exchange, struct mn_span message, bool is_last);

void talker_init(struct sim_server *server);
struct talker_line *talker_open(struct sim_server *server, talker_say *say, void *context);
void talker_close(struct talker_line *line); /* NULL is fine */
void *talker_context(const struct talker_line *line);
struct talker_line *talker_line_at(struct mn_list *entry); /* of server->lines */
void talker_hear(struct talker_line *line, uint64_t exchange, struct mn_span message);
/* Modern, over HTTP: who asked went away. */
void talker_gone(struct talker_line *line, uint64_t exchange);
void talker_tools_changed(struct sim_server *server);
void talker_touch(struct sim_server *server, uint32_t resource); /* it has another content now */
const char *talker_uri(const struct sim_server *server, uint32_t resource, char text[64]);
/* Requests that wait for an answer, at all lines of it. */
uint32_t talker_open_count(const struct sim_server *server);

/* Legacy sessions at it whose client cannot be asked: one that all share, if none was left behind.
 */
uint32_t talker_shared_count(const struct sim_server *server);

#endif
