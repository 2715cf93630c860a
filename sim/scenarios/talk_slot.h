/* talk_slot.h: what the files of a calling client share: talk_client.c (when it calls, and where),
 * talk_call.c (its calls) and talk_answer.c (what it is asked). */
#ifndef SIM_TALK_SLOT_H
#define SIM_TALK_SLOT_H

#include "sim/scenarios/talks.h"

#define TALK_SLOTS 2u
#define TALK_PATIENCE_SMALL (40 * MN_SEC)
#define TALK_TASK_ID_SIZE 400

enum act { ACT_CALL = 1, ACT_TASK_GET, ACT_TASK_RESULT, ACT_TASK_CANCEL, ACT_TASK_LIST };

/* One call, from its beginning to what came of it. */
struct slot {
    struct talk_client *client;
    uint32_t index;
    struct talk *talk; /* NULL: idle */
    enum act act;
    struct sim_host *host; /* where it was asked last */
    uint64_t exchange;     /* there; of the one that is open */
    bool is_waiting;
    uint64_t session; /* legacy: it was asked in that of its client */
    uint64_t number;  /* modern: of the request */
    struct mn_buf *state, *responses;
    char task[TALK_TASK_ID_SIZE];
    bool is_task_cancelled;
    struct mn_buf *cursor; /* legacy: of the next page of the list in which it looks for its task */
    bool is_dropped;       /* legacy: its stream; the call goes on until it is cancelled */
    char event[SIM_EVENT_SIZE]; /* legacy: the last one of its stream; empty: it has none */
    mn_time streams_since;      /* 0: it does not */
    mn_time streamed;           /* for so long, when its node died */
    bool is_resuming;           /* its stream is taken up again, or was, at another node */
    uint32_t tries;
    struct sim_host *listen_host; /* modern: where it listens to what becomes of its task, */
    uint64_t listen;              /* by this exchange */
    bool is_listening;
    mn_time listen_since;  /* acknowledged then; 0: not yet */
    mn_time task_since;    /* it knows its task */
    bool is_told;          /* that the task is over */
    uint32_t told_reports; /* legacy: of its progress, the last one that was heard */
    char text[160];        /* of the last refusal */
    struct sim_event next, cancel, judge;
};

struct talk_client {
    struct talks *talks;
    uint32_t index;
    bool is_modern, can_be_asked;
    bool has_tasks;        /* legacy: it makes them of what it is asked to elicit */
    struct mn_list theirs; /* these */
    uint32_t theirs_last;
    struct sim_host *home;          /* legacy: where its session is now */
    char session[SIM_SESSION_SIZE]; /* empty: none */
    bool is_initializing;
    uint64_t sessions;
    struct sim_host *stream_host; /* legacy: of its session's stream, */
    uint64_t stream;              /* this exchange there, */
    mn_time streams_since;        /* since then; 0: it has none */
    struct sim_host *left_host;   /* of which is not known there that it is gone: the one before; */
    uint64_t left;                /* NULL: of none */
    bool is_astray;               /* one of these was opened by a clock that was off */
    struct slot slots[TALK_SLOTS];
    struct sim_event next, listen;
};

static inline struct sim *slot_sim(const struct slot *slot)
{
    return slot->client->talks->sim;
}

/* Writes what the client answers: the question again, and who it is. False: it is not its
 * question, and the run has failed. */
bool talk_answer(const struct slot *slot, struct mn_writer *writer, struct mn_span method,
                 const struct json *params);

/* A request of the server's, to a legacy client. */
void talk_asked(struct slot *slot, const struct json *root, struct mn_span method);

/* A legacy client answers the request [root] there, a while later. [result]: owned. */
void talk_reply(struct talk_client *client, struct sim_host *host, const struct json *root,
                struct mn_writer *result);

/* ---- talk_theirs.c ---- */

/* What a client answers is the result of a task: [result] becomes the answer that says so. */
void talk_theirs_begin(struct talk_client *client, struct mn_writer *result);
/* Whether a request is about one, which is then answered. */
bool talk_theirs_asked(struct talk_client *client, struct sim_host *host, const struct json *root);
void talk_theirs_done(struct talk_client *client);

/* ---- talk_aside.c ---- */

/* Whether a log message is of no call; it is judged. */
bool talk_aside_heard(struct talk_client *client, const struct json *params);

/* Whether a question is of no call; it is judged, and answered. */
bool talk_aside_asked(struct talk_client *client, struct sim_host *host, const struct json *root);

/* ---- talk_call.c ---- */

void talk_slot_ask(struct slot *slot, struct sim_host *host);
/* It may be cancelled in a while: drawn. */
void talk_slot_plan_cancel(struct slot *slot);

/* It goes on within that time; or ends, with an answer, or because it was refused. */
void talk_slot_later(struct slot *slot, mn_time most);
void talk_slot_answered(struct slot *slot, const struct json *result, struct mn_span message);
void talk_slot_refused(struct slot *slot, enum talk_state state, struct mn_span reason,
                       bool is_unknown);
void talk_slot_end(struct slot *slot, enum talk_state state, struct mn_span reason);

/* ---- talk_task.c ---- */

/* A client may listen to what becomes of its task: a modern one at whatever node, a legacy one on
 * the stream of its session. */
void talk_task_listen(struct slot *slot);
void talk_task_leave(struct slot *slot);

/* What it hears when it asks about its task, and when it looks for it in a list. */
void talk_task_shown(struct slot *slot, const struct json *result, struct mn_span message);
void talk_task_listed(struct slot *slot, const struct json *result, struct mn_span message);
/* Its client has found out that the task is over: it had to be told, if it was there in time. */
void talk_task_found_over(const struct slot *slot);

/* ---- talk_stream.c ---- */

/* Legacy: opens the stream of its session, if it has none. */
void talk_stream_open(struct talk_client *client);
void talk_stream_close(struct talk_client *client); /* it may have none */

/* Its connection is gone, and the node does not see it. */
void talk_stream_leave(struct talk_client *client);

/* ---- talk_client.c ---- */

void talk_client_again(struct talk_client *client);   /* with another call, in a moment */
void talk_slot_go_on(struct sim *sim, void *context); /* the next round, or word about a task */

#endif
