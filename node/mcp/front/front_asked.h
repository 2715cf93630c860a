/* front_asked.h: what servers ask of clients in the middle of a call, and what these answer; by the
 * file that has it. */
#ifndef FRONT_ASKED_H
#define FRONT_ASKED_H

#include "node/mcp/front/front_state.h"

struct Meshnode__Gateway__Answer;
struct Meshnode__Gateway__Outlived;
struct Meshnode__Gateway__Question;

/* ---- front_input.c ---- */

/* [answer] goes on with [result], pieces of the body that it came in, in slices; takes them. */
void front_input_begin(struct front *front, const struct front_question *question,
                       const struct Meshnode__Gateway__Answer *answer, struct pieces *result);

/* What that call's server asked need not be answered any more; NULL: what was asked outside of all
 * calls. */
void front_input_drop(struct front *front, const struct front_call *call);
void front_input_on_tick(struct front *front);
size_t front_input_size(const struct front *front); /* bytes that are kept for it */

/* ---- front_round.c ---- */

/* Opens the requestState of a request (NULL: none), as front_unseal() says. */
MN_MUST_USE mn_status front_round_open(struct front *front, const struct front_exchange *exchange,
                                       const struct json *state, struct front_round *ret);

/* Whether these are the params that the round began with; the call knows it then. */
bool front_round_fits(struct front *front, struct front_call *call, const struct front_round *round,
                      const struct front_target *target, const struct json *params);

/* Puts a result input_required with our state instead of the server's. False: it cannot. */
bool front_round_result(struct front *front, const struct front_call *call, const mn_id *node,
                        const struct json *result, struct mn_span resume, struct pieces *to);

/* Writes the result that asks what an error -32042 of a legacy server asks. False: it cannot. */
bool front_round_of_urls(struct front *front, const struct front_call *call, struct mn_span data,
                         struct mn_writer *writer);

/* ---- front_content.c ---- */

/* How a client is asked. */
struct front_asked {
    struct mn_span service;  /* who asks: a member of _meta; empty: its client knows */
    const struct json *meta; /* _meta as it is told, its members kept; NULL: there is none */
    const char *url_id;      /* for a URL to be visited, where a revision wants that; or NULL */
};
void front_content_put(struct pieces *to, const struct json *params,
                       const struct front_asked *asked);

/* Params that say whose they are. */
struct mn_span front_content_of_server(struct front *front, struct mn_span service,
                                       struct mn_span params);

/* Whether a question says whose it is, as they do at /mcp and views. */
bool front_content_is_named(const struct front_call *call, const char *method);

/* The requests of a result that asks, each saying that. */
void front_content_put_requests(struct front *front, struct pieces *to,
                                const struct front_call *call, const struct json *requests);
void front_content_write_server(struct mn_writer *writer, const struct front_call *call);

/* ---- front_question.c ---- */
void front_question_ask(struct front *front, struct front_call *call,
                        const struct Meshnode__Gateway__Question *asked, struct mn_buf *payload);

/* A question whose params were looked at, two levels of them; NULL: they are no such JSON.
 * [source]: NULL, or what they are part of: then they go on as such. */
void front_question_checked(struct front *front, struct front_call *call, struct mn_span key,
                            const char *method, const struct json *params, struct mn_buf *source);

/* The client's response to one of our requests. False: there is no such request of this node, now
 * or ever. */
bool front_question_on_response(struct front *front, struct front_session *session,
                                const struct jsonrpc_message *message);

/* An id for the URL that these params want visited, if the client's revision wants one and the
 * server gave none; else NULL. In the scratch. */
const char *front_question_url_id(struct front *front, const struct front_session *session,
                                  const struct json *params);

/* A request of ours on that stream, with [params] (nothing: none), which it takes; [question] has
 * its id afterwards. */
void front_question_put(struct front *front, struct front_exchange *exchange,
                        struct front_question *question, const char *method, struct pieces *params);

/* Whether a client can be asked that. */
const char *front_question_method(const char *method);

/* Its client need not answer any more: told on [exchange] (NULL: nowhere). Frees it. */
void front_question_end(struct front *front, struct front_question *question,
                        struct front_exchange *exchange, const char *reason);

/* The server takes that question back. */
void front_question_withdraw(struct front *front, struct front_call *call, struct mn_span key);

/* The call is over: nobody needs to answer any more. */
void front_question_drop(struct front *front, struct front_call *call);

/* A question of the call that is open under that key; NULL: none. */
struct front_question *front_question_find(const struct front_call *call, struct mn_span key);

/* Whether the call's client hears us other than on the call's own stream. */
bool front_question_is_heard(const struct front_call *call);

/* A question of a call is one outside of calls now, as [next] (front_aside_new()). Frees it. */
void front_question_become(struct front *front, struct front_question *question,
                           struct front_question *next);

/* ---- front_outlive.c ---- */

/* The call is about to end, and its server still asks that. */
void front_outlive(struct front *front, struct front_call *call,
                   const struct Meshnode__Gateway__Outlived *outlived);

/* The client's answer goes into the call, which may be over already; or the call is over here. */
void front_outlive_answered(struct front *front, struct front_call *call,
                            const struct Meshnode__Gateway__Answer *answer);
void front_outlive_drop(struct front *front, struct front_call *call);
void front_outlive_check(const struct front *front);

/* ---- front_aside.c ---- */

/* A question that is open outside of calls; NULL: none. */
struct front_question *front_aside_find(const struct front_session *session, struct mn_span service,
                                        const mn_id *node, struct mn_span key);

/* One more, that is asked yet; NULL: there is no room. */
struct front_question *front_aside_new(struct front *front, struct front_session *session,
                                       struct mn_span service, const mn_id *node,
                                       struct mn_span key);

/* The client answers a question that was asked outside of calls: by a request of its own, as the
 * feed may be gone by now; or that in two steps. [answer] NULL: it follows. Takes the request. */
struct mn_buf *front_aside_request(const struct front_session *session,
                                   const struct Meshnode__Gateway__Answer *answer);
void front_aside_emit(struct front *front, struct mn_span service, const mn_id *node,
                      struct mn_buf *request);
void front_aside_answer(struct front *front, const struct front_question *question,
                        const struct Meshnode__Gateway__Answer *answer);

#endif
