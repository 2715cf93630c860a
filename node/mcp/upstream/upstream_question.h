/* upstream_question.h: what a server wants to know from the client in the middle of a call
 * (sampling, elicitation, roots; of a legacy client that makes tasks of these, how they are). A
 * legacy server asks by a request of its own, and its call goes on; a modern one answers
 * input_required, and wants the call once more with the answers in it (MCP 2026-07-28, multi
 * round-trip requests). Towards the caller it looks the same either way:
 *
 *   live     each question is an event, each answer an input; the call stays open
 *   rounds   the call ends with the result input_required; a legacy server's own call is parked
 *            meanwhile, and the next request, which brings the answers, goes on with it
 *
 * A question nobody answers within UPSTREAM_QUESTION_TTL is declined in the client's name, unless
 * it is for the result of a task, and a parked call that nobody takes up is cancelled. */
#ifndef UPSTREAM_QUESTION_H
#define UPSTREAM_QUESTION_H

#include "node/mcp/upstream/upstream.h"
#include "proto/gateway.pb-c.h"

#define UPSTREAM_QUESTIONS_MAX 16 /* open ones of a call; more are refused */
#define UPSTREAM_ROUNDS_MAX 10    /* of one live call at a modern server */
#define UPSTREAM_QUESTION_TTL (10 * MN_MINUTE)
#define UPSTREAM_QUESTION_COLLECT (5 * MN_MS) /* parallel questions make one round */
#define UPSTREAM_HEARTBEAT (30 * MN_SEC)      /* to the caller, while the client thinks */
#define UPSTREAM_HANDLE_SIZE 16

struct upstream_question {
    struct mn_list link; /* in asked->questions; modern, all answered: in asked->answered */
    struct upstream_asked *asked;
    struct mn_span key;
    struct mn_span id;     /* of the legacy server's request, verbatim; empty: a modern one */
    struct mn_span method; /* as asked */
    struct mn_span params; /* JSON, or empty */
    struct mn_buf *source; /* what they are, if they are large; else NULL */
    struct mn_buf *answer; /* modern: kept until all are there, and the server has them */
    struct upstream_reply *reply; /* modern: its answer, while that is checked; else NULL */
    bool is_cancelled;            /* that nobody answers is said as its client would */
    bool is_lasting; /* legacy: it outlived a call, and is answered as one outside of calls */
};

/* The part of a request that few have: what it asked, and where it waits. */
struct upstream_asked {
    struct upstream_request *request;
    struct mn_list questions; /* that are open */
    struct mn_list answered;  /* modern: those of the last round */
    uint32_t open_count, rounds_count, number_last;
    mn_time since;                 /* of the oldest open question */
    bool is_collecting;            /* the round ends in a moment */
    bool is_parked;                /* no caller has it now */
    bool is_orphan;                /* parked: its caller's node is lost; nobody was answered */
    mn_time until;                 /* parked: then nobody comes any more */
    bool is_aside;                 /* modern: waits for answers, nothing runs at the server */
    struct mn_map_entry by_handle; /* while parked */
    uint8_t handle[UPSTREAM_HANDLE_SIZE];
    struct mn_buf *state; /* modern: requestState to give back, verbatim JSON; NULL: none */
    struct mn_buf *last;  /* parked: the last event, which came meanwhile */
};

void upstream_question_free(struct upstream_request *request);

/* A JSON object that can be passed on as such. */
bool upstream_question_is_object(struct upstream_host *host, struct mn_span text);

/* Answers the legacy server's request [id]: with [result], part of [source], as another node says
 * it; or that nobody does, or nobody could. */
void upstream_question_give(struct upstream *server, struct mn_span id, bool is_cancelled,
                            struct mn_buf *source, struct mn_span result);
void upstream_question_refuse(struct upstream *server, struct mn_span id, bool is_cancelled,
                              int64_t code, struct mn_span text, struct mn_span data);
void upstream_question_refuse_bad(struct upstream *server, struct mn_span id, bool is_cancelled);

/* A request of a legacy server; [request] is the call it belongs to, NULL: none. False: it is
 * nothing that can be asked of this caller, and was not taken. */
bool upstream_question_ask(struct upstream_request *request, const struct jsonrpc_message *message);

/* The legacy server takes one of its questions back: notifications/cancelled with that id. */
void upstream_question_withdraw(struct upstream *server, struct mn_span id);

/* An answer of a live call's client, in a message that is [source]. */
void upstream_question_on_answer(struct upstream_request *request,
                                 const Meshnode__Gateway__Answer *answer, struct mn_buf *source);

/* The same of a question of [lease] that outlived a call, and is put down to another one now. */
void upstream_question_on_late(struct upstream *lease, const Meshnode__Gateway__Answer *answer,
                               struct mn_buf *source);

/* upstream_reply_check(): its answer, whose ref is taken; NULL: it is no object. */
void upstream_question_on_checked(struct upstream_question *question, struct mn_buf *answer);

/* True when the timer was about questions. */
bool upstream_question_on_timer(struct upstream_request *request);

/* For upstream_parked.c, upstream_leave.c: what is known of the questions of a call, made if there
 * was nothing; takes one off it; tells the caller one, or that it need not be answered any more
 * (one that outlived a call does not end with its next one); none is open any more. */
struct upstream_asked *upstream_question_asked(struct upstream_request *request);
void upstream_question_drop(struct upstream_asked *asked, struct upstream_question *question);
void upstream_question_tell(struct upstream_request *request,
                            const struct upstream_question *question);
void upstream_question_tell_withdrawn(struct upstream_request *request,
                                      const struct upstream_question *question);
void upstream_question_settled(struct upstream_request *request);

/* The same question, of another call of that client: under a name there, or [as] (empty: none), for
 * good; [is_known]: who was asked answers it. */
void upstream_question_pass_on(struct upstream_request *request,
                               const struct upstream_question *question, struct mn_span as,
                               bool is_known);

/* For upstream_round.c, too: one more is open, [params] of which are part of [source]; those of the
 * last round are forgotten. */
struct upstream_question *upstream_question_add(struct upstream_request *request,
                                                struct mn_span key, struct mn_span id,
                                                struct mn_span method, struct mn_span params,
                                                struct mn_buf *source);
void upstream_question_forget_answered(struct upstream_asked *asked);

#endif
