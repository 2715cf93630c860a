/* front_parts.h: what each part of the front offers the others, by the file that has it. */
#ifndef FRONT_PARTS_H
#define FRONT_PARTS_H

#include "node/mcp/front/front_state.h"

/* ---- front.c ---- */

/* Forgets the exchange; its response is complete, or nobody waits for it. */
void front_exchange_free(struct front *front, struct front_exchange *exchange);

/* It has neither calls nor a stream any more. */
void front_session_free(struct front *front, struct front_session *session);
void front_call_free(struct front *front, struct front_call *call);

/* Value of a kept request header, trimmed; data == NULL: absent. */
struct mn_span front_header(const struct front_exchange *exchange, const char *name);
struct mn_span front_header_span(const struct front_exchange *exchange, struct mn_span name);

/* ---- front_seal.c ---- */
void front_seal_init(struct front *front);
void front_seal_done(struct front *front);

/* A string that only nodes of this mesh can make and open, and only for this principal and context.
 * [life] 0: as long as its key opens. Empty: [plain] is too long. */
struct mn_span front_seal(struct front *front, enum sealed_what what, const mn_id *principal,
                          const mn_id *context, mn_time life, struct mn_span plain);

/* Opens such a string, of this principal and context. MN_BUSY: it was changed or made up, and so
 * were FRONT_OPENINGS_MAX of this principal within the last minute; any other: it does not open. */
MN_MUST_USE mn_status front_unseal(struct front *front, enum sealed_what what,
                                   const mn_id *principal, const mn_id *context,
                                   struct mn_span text, struct mn_span *ret);

/* The HTTP status of an answer to a string that front_unseal() did not open: 429, or [code]. */
uint32_t front_seal_code(mn_status status, uint32_t code);

/* ---- front_http.c ---- */
void front_http_open(struct front *front, const struct edge_input *input);
void front_http_body(struct front *front, struct front_exchange *exchange,
                     const struct edge_input *input);
void front_http_gone(struct front *front, struct front_exchange *exchange);

/* Serves the body that the exchange has. */
void front_http_serve_body(struct front *front, struct front_exchange *exchange);

/* The exchange has the body that is being served again, for later. A large one is not copied. */
void front_http_keep_body(struct front *front, struct front_exchange *exchange);

/* The credential of the exchange has ended: its calls are cancelled, and it ends. */
void front_http_expel(struct front *front, struct front_exchange *exchange);

/* ---- front_token.c ---- */

/* Something begins; if it has an API token, it is judged again until it is over. */
void front_token_use(struct front *front, bool has_token);
void front_token_on_time(struct front *front);

/* ---- front_reply.c ---- */

/* A whole response without body; ends the exchange. */
void front_reply_empty(struct front *front, struct front_exchange *exchange, uint32_t code);

/* A whole response that refuses the HTTP request; [header] may be NULL. Also before there is an
 * exchange; the caller forgets one that there is. */
void front_reply_refuse(struct front *front, uint64_t exchange_id, uint32_t code,
                        int64_t jsonrpc_code, const char *text, const struct edge_header *header);

/* One answer to one request of the exchange; the last one ends it. [http_code] is what a response
 * that has not begun, and is no batch, begins with. Afterwards the exchange may be gone. */
void front_reply_result(struct front *front, struct front_exchange *exchange, struct mn_span id,
                        struct mn_span result);

/* Whether what goes out on it must be on one line: it is a stream of events, or may become one that
 * has answers already. */
bool front_reply_is_in_lines(const struct front_exchange *exchange);

/* The same for one of JSONRPC_LARGE bytes or more, in pieces of which none is copied; on one line,
 * if it must be. Takes the pieces. */
void front_reply_pieces(struct front *front, struct front_exchange *exchange, struct mn_span id,
                        struct pieces *result);
void front_reply_error(struct front *front, struct front_exchange *exchange, uint32_t http_code,
                       struct mn_span id, int64_t code, struct mn_span message,
                       struct mn_span data);

/* Same, with a C string and no data; the usual case. */
void front_reply_fail(struct front *front, struct front_exchange *exchange, uint32_t http_code,
                      struct mn_span id, int64_t code, const char *text);

/* A request that will never be answered, because its client cancelled it. */
void front_reply_nothing(struct front *front, struct front_exchange *exchange);

/* Makes the response a stream of events, if it is none yet. */
void front_reply_open(struct front *front, struct front_exchange *exchange);
void front_reply_event(struct front *front, struct front_exchange *exchange, struct mn_span json);

/* The same for JSON of JSONRPC_LARGE bytes or more, on one line, in pieces of which none is copied;
 * takes them. */
void front_reply_event_pieces(struct front *front, struct front_exchange *exchange,
                              struct pieces *json);

/* One that was sent before, on another connection, under that id. */
void front_reply_again(struct front *front, struct front_exchange *exchange, struct mn_span id,
                       struct mn_span json);

/* An event that may be left out, as progress may: it is when the client does not read. Opens the
 * stream. */
void front_reply_notification(struct front *front, struct front_exchange *exchange,
                              struct mn_span json);

/* Sets the timer of a stream: to its note, then to the next sign of life. */
void front_reply_wait(struct front *front, struct front_exchange *exchange);
void front_reply_keepalive(struct front *front, struct front_exchange *exchange);

/* The client is to come back for the rest; its calls go on. Ends the response. */
void front_reply_pause(struct front *front, struct front_exchange *exchange, uint32_t retry_ms);
void front_reply_end(struct front *front, struct front_exchange *exchange);

/* ---- front_message.c ---- */
void front_message_receive(struct front *front, struct front_exchange *exchange,
                           struct mn_span body);

/* Checks what is there of a large body, so that its end is no long step. */
void front_message_ahead(struct front_exchange *exchange);

/* The client's own members of a request's _meta. */
struct front_meta {
    const struct json *version, *capabilities, *info, *log_level, *progress, *trace;
};

/* False: _meta is no object, or says something twice. Absent: all members NULL. */
bool front_message_meta(const struct jsonrpc_message *message, struct front_meta *ret);

/* True when the trail of the request names this node or its mesh: it is attached to itself. */
bool front_message_is_loop(const struct front *front, const struct front_exchange *exchange);

/* ---- front_modern.c ---- */
void front_modern_request(struct front *front, struct front_exchange *exchange,
                          const struct jsonrpc_message *message, const struct front_meta *meta);
bool front_modern_is_version(struct mn_span version);

/* What is wrong with the Mcp-Param-* headers of a call of [tool]; NULL: nothing. */
const char *front_modern_param_fault(struct front *front, const struct front_exchange *exchange,
                                     const struct names_item *tool, const struct json *arguments);

/* ---- front_route.c ---- */

/* NULL: no such method in that era. */
const struct front_method *front_route_method(struct mn_span name, bool is_modern);

/* A method of an extension, at the endpoint of a server that declares some. NULL: it is none, or
 * the endpoint is of several servers, or of one that has none. */
const struct front_method *front_route_extension(struct front *front, struct mn_span endpoint,
                                                 struct mn_span name);

/* Of a call in a session's record: front_method.name. */
const struct front_method *front_route_noted(struct mn_span name);

/* Who is asked. False: nobody, which has been answered. */
bool front_route(struct front *front, struct front_exchange *exchange, bool is_legacy,
                 const struct front_method *method, const struct jsonrpc_message *message,
                 struct front_target *ret);

/* The tool as its client sees it. What a client is not shown it can call all the same, as it could
 * its server: that one answers, and nothing is judged here by a definition that the client does not
 * know. */
void front_route_hide(struct front *front, struct front_target *target,
                      struct mn_span capabilities);

/* The tool of that name at the endpoint of the exchange. False: answered. */
bool front_route_tool(struct front *front, struct front_exchange *exchange, struct mn_span id,
                      struct mn_span name, struct front_target *ret);

/* Who may be asked for a URI at that endpoint; within an effort as names_route_within() says. */
void front_route_find(struct front *front, struct mn_span endpoint, struct mn_span uri,
                      bool is_template, struct names_route *ret);
void front_route_within(struct front *front, struct mn_span endpoint, struct mn_span uri,
                        size_t *effort, struct names_route *ret);

/* ---- front_small.c ---- */

/* Whether the request is for one of the two tools that find and call others. */
bool front_small_is(const struct front_target *target);

/* mesh_find: answers the request. */
void front_small_find(struct front *front, struct front_exchange *exchange,
                      const struct front_session *session, const struct jsonrpc_message *message,
                      struct mn_span capabilities);

/* mesh_call: turns the request into one for the tool that it names. False: it was answered. */
bool front_small_unwrap(struct front *front, struct front_exchange *exchange,
                        const struct jsonrpc_message *message, struct front_target *target,
                        struct jsonrpc_message *ret);

/* ---- front_list.c ---- */

/* Answers a list method. */
void front_list(struct front *front, struct front_exchange *exchange, bool is_modern,
                const struct jsonrpc_message *message, struct names_endpoint at,
                enum names_kind kind);

/* ---- front_about.c ---- */

/* What an endpoint shows, by its name in an exchange or a session. False: there is no such service
 * or view now. */
bool front_about_find(struct front *front, struct mn_span endpoint, struct names_endpoint *ret);

/* The same for an exchange. False: it has been answered. */
bool front_about_endpoint(struct front *front, struct front_exchange *exchange, struct mn_span id,
                          struct names_endpoint *ret);

/* Since it started the node has not heard yet which servers the mesh has: what it does not know may
 * well be there. It says that it is not known yet, and that the client may try again. */
bool front_about_is_early(const struct front *front);
void front_about_early(struct front *front, struct front_exchange *exchange, uint32_t http_code,
                       struct mn_span id);
#define FRONT_EARLY                                                                             \
    "this node has just started and does not know all servers of the mesh yet: try again in a " \
    "moment"

/* What a client declared, which says what it is shown. */
struct audience_client front_about_client(struct front *front, struct mn_span capabilities);

/* Whether an endpoint shows many servers, under names that are ours. */
bool front_about_is_aggregated(struct mn_span endpoint);

/* serverInfo; "capabilities":{...}; ,"instructions":"..." if there are any. */
void front_about_server(struct mn_writer *writer, const struct names_service *service);
void front_about_capabilities(struct front *front, struct mn_writer *writer,
                              struct names_endpoint at, const char *version);
void front_about_instructions(struct front *front, struct mn_writer *writer,
                              struct names_endpoint at);

/* ,"_meta":{...} and whatever else a server says of itself; of /mcp and views, where the words of
 * many would stand beside each other, only what is ours. */
void front_about_rest(struct front *front, struct mn_writer *writer, struct names_endpoint at,
                      bool is_modern);

/* Whether the session was told that it can list its tasks. */
bool front_about_lists_tasks(struct front *front, const struct front_session *session);

/* Whether the server declared tasks: those of 2025-11-25, or the extension. */
bool front_about_has_tasks(struct front *front, const struct names_service *service,
                           bool is_legacy);

/* Whether the server declared that capability; /mcp has all. */
bool front_about_has(struct front *front, const struct names_service *service, const char *name);

/* ---- front_legacy.c ---- */
void front_legacy_initialize(struct front *front, struct front_exchange *exchange,
                             const struct jsonrpc_message *message);
void front_legacy_request(struct front *front, struct front_exchange *exchange,
                          struct front_session *session, const struct jsonrpc_message *message);
void front_legacy_notification(struct front *front, struct front_session *session,
                               const struct jsonrpc_message *message);
bool front_legacy_is_version(struct mn_span version);

/* The client takes that request of its own back (its id; NULL: it says none). False: nothing is
 * known of it here. */
bool front_legacy_cancel(struct front *front, struct front_session *session, const struct json *id);

/* GET or DELETE. */
void front_legacy_verb(struct front *front, struct front_exchange *exchange);

/* The session is in use: it is not idle for a while. */
void front_legacy_touch(struct front *front, struct front_session *session);

/* Room for one more session. */
bool front_legacy_make_room(struct front *front);

/* Whether answers in that session are streams from their begin on, as those of its server are, so
 * that the client can come back for one at any time. */
bool front_legacy_streams(struct front *front, const struct front_exchange *exchange,
                          const struct front_session *session);

/* Its calls are cancelled, its stream ends, and it is gone. */
void front_legacy_end(struct front *front, struct front_session *session, const char *why);

/* The session that the request names and may use. NULL: the refusal was sent, or other nodes are
 * asked for it; the request is served again then. */
struct front_session *front_legacy_session(struct front *front, struct front_exchange *exchange,
                                           struct mn_span id);

/* ---- front_relay.c ---- */

/* The response that is being served answers nothing that is known here: the nodes that had the
 * session before hear it. False: it is too large for that. */
bool front_relay_response(struct front *front, const struct front_session *session);

/* The same for a request (its id) that the client takes back. */
void front_relay_cancel(struct front *front, const struct front_session *session,
                        const struct json *id);

/* What another node passes on so; it may be anything. */
void front_relay_on_word(struct front *front, struct front_session *session, struct mn_span word);

/* ---- front_session.c ---- */

/* The same, from our list, or NULL: not served. */
const char *front_session_version(struct mn_span version);

/* A new one, at the endpoint of the exchange. */
struct front_session *front_session_open(struct front *front, const struct front_exchange *exchange,
                                         const char *version, struct mn_span info,
                                         struct mn_span capabilities);

/* Digest of an id: tells other nodes which session is meant, but not its id. */
void front_session_handle(struct mn_span id, uint8_t ret[FRONT_DIGEST_SIZE]);

/* Whether a node of this mesh gave that id out, to this client at this endpoint, and it was not
 * deleted here; notes in [exchange] what front_unseal() said. */
bool front_session_is_ours(struct front *front, struct front_exchange *exchange, struct mn_span id);

/* The session of an id that another node gave out, or this one before it forgot. */
struct front_session *front_session_again(struct front *front,
                                          const struct front_exchange *exchange, struct mn_span id,
                                          const char *version, struct mn_span info,
                                          struct mn_span capabilities);

/* That id was deleted, and does not come back. */
void front_session_forget(struct front *front, struct mn_span id);
void front_session_done(struct front *front);

/* ---- front_record.c ---- */

/* The session changed: other nodes are told. */
void front_record_save(struct front *front, struct front_session *session);

/* A mark of a session that ended, from the node's store. */
void front_record_recover(struct front *front, struct mn_span key, struct mn_span value);

/* The same, and the result goes out once they keep it. */
void front_record_reply(struct front *front, struct front_exchange *exchange,
                        struct front_session *session, struct mn_span id, struct mn_span result);

/* What waits so on that exchange, one by one. */
void *front_record_held(const struct front_exchange *exchange, void *at, struct mn_span *id);

/* The exchange ends; what was to be said on it is not. */
void front_record_leave(struct front_exchange *exchange);

/* The session goes; copies stay for their time. Or it has ended for good, everywhere. */
void front_record_done(struct front *front, struct front_session *session);
void front_record_end(struct front *front, struct front_session *session);

/* Its client used another node since, or comes from one just now: what it says waits for its turn.
 */
bool front_record_is_elsewhere(const struct front *front, const struct front_session *session);

/* How often it went to another node, to be here now; 0: it is at another one. */
uint64_t front_record_moves(const struct front_session *session);

/* Looks for the session of that id at other nodes; the exchange is served again when it is found,
 * or nobody has it. False: it is no id of ours. */
bool front_record_adopt(struct front *front, struct front_exchange *exchange, struct mn_span id);
void front_record_on_nodes(struct front *front, const mn_id *nodes, uint32_t count);
void front_record_on_message(struct front *front, const mn_id *from, struct mn_span bytes);
void front_record_on_time(struct front *front);

/* At the end of each step: what the records put out is done. */
void front_record_run(struct front *front);
void front_record_free(struct front *front);

/* ---- front_call.c ---- */
void front_call_start(struct front *front, struct front_exchange *exchange,
                      struct front_session *session, const struct front_method *method,
                      const struct jsonrpc_message *message, const struct front_meta *meta);

/* Asks the next candidate, of which nothing is known yet. False: there is none left. */
bool front_call_next(struct front *front, struct front_call *call);

/* Nobody wants the result any more: tells the core, and forgets the call. */
void front_call_cancel(struct front *front, struct front_call *call);

/* Asks the core for the service of the call. [node] zero: wherever it is served best. */
void front_call_emit(struct front *front, const struct front_call *call, const mn_id *node,
                     bool is_idempotent, struct mn_span trace);

/* Whether the client of the call said that it knows that: a member [name] of what it declared under
 * [group]. */
bool front_call_is_declared(struct front *front, const struct front_call *call, const char *group,
                            const char *name);

/* What the server is told for that member of params: what the client wrote, or its own name. */
struct mn_span front_call_said(struct front *front, const struct front_method *method,
                               const struct front_target *target, const struct json *key);

/* A member of an object, verbatim. */
void front_call_write_member(struct mn_writer *writer, const struct json *key, bool *is_first);
void front_call_put_member(struct pieces *to, const struct json *key, bool *is_first);

/* ---- front_again.c ---- */

/* The call is about to run anew, nobody knows where yet. */
void front_again_begin(struct front *front, struct front_call *call);

/* What is told of it says where it runs by now. */
void front_again_on_event(struct front *front, struct front_call *call,
                          const struct call_event *event);

/* Whether that progress (NULL: none) is more than the client was told of; it is told now. */
bool front_again_is_further(struct front_call *call, const struct json *progress);

/* ---- front_answer.c ---- */
void front_answer_on_event(struct front *front, const struct call_event *event);

/* Params of notifications/progress: an object that has none, with the client's token in. */
void front_answer_write_progress(struct mn_writer *writer, struct mn_span token,
                                 const struct json *progress);

/* A result whose JSON was read. */
struct front_answer {
    const struct json *result;     /* nothing when it is not to be read */
    struct mn_buf *source;         /* NULL, or what it is part of: then it goes on as such */
    struct pieces_change *changes; /* parts of it that are said otherwise */
    uint32_t changes_count;
    bool has_lines; /* it is not on one line */
    bool is_task;   /* a legacy session began one */
    mn_id node;
    struct mn_span resume;
};

/* Answers the client and forgets the call. [status]: of reading it. */
/* All of it in one step. */
void front_answer_on_result(struct front *front, struct front_call *call, struct mn_span text,
                            const mn_id *node, struct mn_span resume);
void front_answer_parsed(struct front *front, struct front_call *call, mn_status status,
                         struct front_answer *answer);

/* ---- front_large.c ---- */

/* [text] and [resume] are parts of the event's payload. front_answer_parsed() follows, some ticks
 * later, unless the call ends before. */
void front_large_begin(struct front *front, struct front_call *call, const struct call_event *event,
                       struct mn_span text, struct mn_span resume);

/* The same for a question, whose [params] are part of [payload]: front_question_checked() follows,
 * unless it is taken back before. [method]: as of front_question_method(). */
void front_large_ask(struct front *front, struct front_call *call, struct mn_buf *payload,
                     struct mn_span key, const char *method, struct mn_span params);

/* That question of the call need not be asked any more; [key] data NULL: none of them. */
void front_large_withdraw(struct front *front, const struct front_call *call, struct mn_span key);

/* How many wait there that are the call's; none of them does any more. */
uint32_t front_large_count(const struct front *front, const struct front_call *call);
void front_large_drop(struct front *front, const struct front_call *call);
void front_large_on_tick(struct front *front);

/* Memory is bounded: what is too much is checked now. */
void front_large_bound(struct front *front);

/* ---- front_pack.c ---- */

/* [params], pieces of [source], follow what the call's payload has, in slices; takes them. */
void front_pack_begin(struct front *front, struct front_call *call, struct mn_buf *source,
                      struct pieces *params);

/* front_call_emit() with these, once all is there. */
void front_pack_send(struct front_call *call, const mn_id *node, bool is_idempotent,
                     struct mn_span trace);
void front_pack_drop(struct front *front, struct front_call *call);
void front_pack_on_tick(struct front *front);
size_t front_pack_size(const struct front *front); /* bytes that are kept for it */

/* ---- front_links.c ---- */

/* Whether links in what that call's server says may lead elsewhere. */
bool front_links_are_ours(struct front *front, const struct front_call *call);

/* Whether a link of the server's to [uri] leads to it at the endpoint of the call as it is; else
 * its long form does. [effort]: as in effort.h; with too little of it, it does not. */
bool front_links_lead(struct front *front, const struct front_call *call, struct mn_span uri,
                      size_t *effort);

/* ---- front_roots.c ---- */

/* That node serves calls of this session: it hears when the client's roots change. True: that was
 * not known. */
bool front_roots_note(struct front_session *session, struct mn_span service, const mn_id *node);

/* Whether any node is known to serve calls of that service for it. */
bool front_roots_has(const struct front_session *session, struct mn_span service);

/* Walks these: starts and ends with NULL. */
void *front_roots_next(const struct front_session *session, void *at, struct mn_span *service,
                       mn_id *node);
void front_roots_changed(struct front *front, struct front_session *session);
void front_roots_done(struct front_session *session);

/* ---- front_task.c ---- */

/* Who has the task of a sealed id. False: it is none of ours. */
bool front_task_route(struct front *front, const mn_id *principal, struct mn_span service,
                      struct mn_span id, struct front_target *ret);

/* The same text with [to] where a task is called [from]: as taskId, in "task", and in _meta. */
struct mn_span front_task_rename(struct front *front, struct mn_span text, struct mn_span from,
                                 struct mn_span to);

/* An object with another taskId, and without one member (NULL: with all). */
void front_task_write(struct mn_writer *writer, const struct json *result, struct mn_span id,
                      const char *without);

/* Of either era: that a task of this status does not change any more. */
bool front_task_is_over(struct mn_span status);

/* Writes a result that is a task, under a sealed id. False: the client knows no tasks. */
bool front_task_created(struct front *front, const struct front_call *call, const mn_id *node,
                        const struct json *result, struct mn_writer *writer);

/* Whether this revision has tasks of its own: 2025-11-25. */
bool front_task_is_core(const char *version);

/* Whether the call may become a task of that revision; then its result is parsed two levels deep.
 */
bool front_task_may_begin(const struct front_call *call);

/* The result of a call that became a task of that revision ([is_new]), under a sealed id; else as
 * it is. False: its id cannot be sealed. */
bool front_task_begun(struct front *front, const struct front_call *call, const mn_id *node,
                      const struct json **result, bool *is_new);

/* What a server says about a task, under the id that the client knows; and what the client says
 * about it, under the server's own. */
struct mn_span front_task_renamed(struct front *front, const struct front_call *call,
                                  struct mn_span text);

/* The same where it asks about another task, one of the client's: only what that is related to. */
struct mn_span front_task_related(struct front *front, const struct front_call *call,
                                  struct mn_span text);
struct mn_span front_task_own(struct front *front, const struct front_call *call,
                              struct mn_span text);

/* ---- front_task_known.c ---- */

struct front_kept_task {
    struct mn_span id;    /* as the client knows it */
    struct mn_span token; /* of its progress, JSON; empty: none */
    uint64_t number;      /* the how manieth of its session it is; 0: the next */
    bool is_quiet;        /* the client is not told of it (any more): it is over, or of too many */
};

/* The session began that task (again: it came with the session). While the session has a stream it
 * is told of it there, no longer once that is over. */
void front_task_remember(struct front *front, struct front_session *session,
                         const struct front_kept_task *task);
struct mn_span front_task_token(const struct front_session *session, struct mn_span id);
void front_task_quieten(struct front *front, struct front_session *session, struct mn_span id);
void front_task_forget(struct front *front, struct front_session *session, struct mn_span id);
void front_task_stream(struct front *front, struct front_session *session);

/* Walks them, oldest first: starts and ends with NULL. */
void *front_task_next(const struct front_session *session, void *at, struct front_kept_task *ret);
void front_task_done(struct front_session *session);

/* A client of a session hears the result of a request about its task (NULL: an error). */
void front_task_told(struct front *front, const struct front_call *call, const struct json *result);

/* ---- front_task_list.c ---- */

/* tasks/list of a session: those that it began, and nobody else's. */
void front_task_list(struct front *front, struct front_exchange *exchange,
                     struct front_session *session, const struct jsonrpc_message *message);

/* False: the event is none of ours. */
bool front_task_list_on_event(struct front *front, const struct call_event *event);
void front_task_list_done(struct front *front);

/* ---- front_theirs.c ---- */
struct Meshnode__Record__Session;

/* The client's answer to a question of that server, of which two levels were kept: if it is a task,
 * that is remembered. */
void front_theirs_begun(struct front *front, struct front_session *session, struct mn_span service,
                        const mn_id *node, const struct json *result);

/* Whether that server may ask that: of tasks only about those that it began. */
bool front_theirs_may_ask(const struct front_session *session, struct mn_span service,
                          const char *method, const struct json *params);

/* The client's list, without what that server did not begin. */
struct mn_span front_theirs_listed(struct front *front, const struct front_session *session,
                                   struct mn_span service, struct mn_span result);

/* notifications/tasks/status of a client. */
void front_theirs_status(struct front *front, struct front_session *session,
                         const struct json *params);

/* Into the record of the session, and out of that of another node. */
void front_theirs_pack(struct front *front, const struct front_session *session,
                       struct Meshnode__Record__Session *record);
void front_theirs_read(struct front_session *session,
                       const struct Meshnode__Record__Session *record);
void front_theirs_done(struct front_session *session);

/* ---- front_orphan.c ---- */
struct Meshnode__Record__Session;

/* Under what the serving node may keep the call of that ticket. */
void front_orphan_handle(const struct front_session *session, uint64_t ticket,
                         uint8_t ret[FRONT_DIGEST_SIZE]);

/* The stream has lasted for a moment: its calls are noted in the record of its session. */
void front_orphan_note(struct front *front, struct front_exchange *exchange);

/* The record says it anew, unless another node has the word: a noted call began or ended. */
void front_orphan_save(struct front *front, struct front_session *session);

/* What is noted, into the record, and out of that of another node. */
void front_orphan_pack(struct front *front, const struct front_session *session,
                       struct Meshnode__Record__Session *record);
void front_orphan_read(struct front *front, struct front_session *session,
                       const struct Meshnode__Record__Session *record);

/* What a client calls those of its requests on a stream that it has no answer to. */
struct front_waiting {
    struct mn_span requests[MCP_BATCH_MAX];
    uint32_t count;
    bool is_more; /* and any others */
};

/* The client is here for that stream: of the calls on it that came through another node, those that
 * it waits for are asked for, and the others forgotten. False: there is no room for all, and none
 * was. */
bool front_orphan_claim(struct front *front, struct front_exchange *exchange,
                        struct front_session *session, uint64_t stream,
                        const struct front_waiting *waiting);

/* Nobody could be asked about a claim: it is tried again for a while, as its node may be found; and
 * a call that was noted becomes a claim when the link to its node breaks. False: it has failed. */
bool front_orphan_retry(struct front *front, struct front_call *call, enum call_failure failure);
void front_orphan_on_time(struct front *front);

/* The client does not want that one any more. False: there is no such one. */
bool front_orphan_cancel(struct front *front, struct front_session *session, struct mn_span id);
void front_orphan_done(struct front_session *session);

/* ---- front_replay.c ---- */

/* The id of an event that is about to be sent; it is kept. [answers]: the request of the stream
 * that it answers; empty: none. Empty: events of this stream have none. */
struct mn_span front_replay_event(struct front *front, struct front_exchange *exchange,
                                  struct mn_span json, struct mn_span answers);

/* Small answers of noted calls, into the record, and out of that of another node. */
void front_replay_pack(struct front *front, const struct front_session *session,
                       struct Meshnode__Record__Session *record);
void front_replay_read(struct front *front, struct front_session *session,
                       const struct Meshnode__Record__Session *record);

/* Whether that is the JSON of a request's id, or a progress token, and nothing more. */
bool front_replay_is_id(struct front *front, struct mn_span text);

/* Whether the answer to that request, which went out on that stream, is kept. */
bool front_replay_has_answer(const struct front_session *session, uint64_t stream,
                             struct mn_span request);

/* Whether that client comes back to a stream that ended before its answer, and takes an event
 * without data; older ones choke on that. */
bool front_replay_is_known(const struct front_session *session);

/* An id with which the stream of a POST can be taken up again from where it is; the first one
 * begins it. [answered]: a request whose answer follows at once, or empty. */
struct mn_span front_replay_place(struct front *front, struct front_exchange *exchange,
                                  struct mn_span answered);

/* An event of a call whose client is away: kept for when it comes back, if it can. */
void front_replay_late(struct front *front, struct front_call *call, struct mn_span json,
                       bool is_answer);

/* GET of a session, perhaps with Last-Event-ID. */
void front_replay_get(struct front *front, struct front_exchange *exchange,
                      struct front_session *session);
void front_replay_done(struct front *front, struct front_session *session);

/* ---- front_subscribe.c ---- */

/* resources/subscribe and unsubscribe of a legacy session. */
void front_subscribe_request(struct front *front, struct front_exchange *exchange,
                             struct front_session *session, const struct jsonrpc_message *message,
                             bool is_on);

/* resourceSubscriptions of a listen, read one level deep (NULL: none); appends "uri","uri" that are
 * honoured. */
void front_subscribe_listen(struct front *front, struct front_exchange *exchange,
                            const struct json *uris, struct mn_writer *honoured);

/* The resources of [service] that a session is subscribed to, as that knows them, in scratch
 * memory. */
char **front_subscribe_own(struct front *front, const struct front_session *session,
                           struct mn_span service, size_t *count);

/* Walks the URIs a session is subscribed to: starts and ends with NULL. */
void *front_subscribe_next(const struct front_session *session, void *at, struct mn_span *uri);

/* A session that came from another node: subscribed as it was, and due to be told once, because
 * something may have been missed. Or not subscribed any more. */
void front_subscribe_again(struct front *front, struct front_session *session, struct mn_span uri);
void front_subscribe_forget(struct front *front, struct front_session *session, struct mn_span uri);

/* The session has a stream: says what became due meanwhile. */
void front_subscribe_stream(struct front *front, struct front_session *session);

/* Tells of what was updated a moment ago. */
void front_subscribe_on_time(struct front *front);

/* False: the event is none of ours. */
bool front_subscribe_on_event(struct front *front, const struct call_event *event);
void front_subscribe_changed(struct front *front); /* what servers there are, and what they have */
void front_subscribe_check(const struct front *front);

/* ---- front_subscription.c ---- */

/* done: ends all of them. */
void front_subscriptions_init(const struct front *front, struct front_subscriptions *owner);
void front_subscriptions_done(struct front *front, struct front_subscriptions *owner);
void front_subscription_check(const struct front *front);

/* ---- front_subscribe_task.c ---- */

/* taskIds of a listen, read likewise (NULL: none); appends those that are honoured, as above. */
void front_subscribe_tasks(struct front *front, struct front_exchange *exchange,
                           const struct json *ids, struct mn_writer *honoured);

/* A listen, or the stream of a session, hears of that task, which [target] has, under [id]; or does
 * not any more. */
bool front_subscribe_task(struct front *front, struct front_exchange *stream,
                          const struct front_target *target, struct mn_span id);
void front_subscribe_task_over(struct front *front, struct front_exchange *stream,
                               struct mn_span id);

/* ---- front_aside.c ---- */

/* A server is known that the session called; or the session has a stream. */
void front_aside_served(struct front *front, struct front_session *session, struct mn_span service,
                        const mn_id *node);
void front_aside_stream(struct front *front, struct front_session *session);

/* The session's stream, if it has one, hears what the servers that it called say outside of calls;
 * with its level as it is now. */
void front_aside_follow(struct front *front, struct front_session *session);

/* The session subscribes to other resources of that service: wherever it called it, that is told
 * soon, and at the latest with its next call, which may be what updates them. */
void front_aside_subscribed(struct front *front, const struct front_session *session,
                            struct mn_span service);
void front_aside_calls(struct front *front, const struct front_session *session,
                       struct mn_span service);
void front_aside_done(struct front *front, struct front_session *session);

/* The servers that are known, into the record, and out of that of another node. */
void front_aside_pack(struct front *front, const struct front_session *session,
                      struct Meshnode__Record__Session *record);
void front_aside_read(struct front *front, struct front_session *session,
                      const struct Meshnode__Record__Session *record);

/* ---- front_feed.c ---- */

void front_feed_on_time(struct front *front);

/* ---- front_stream.c ---- */

/* From now on the client knows the lists as they are. */
void front_stream_know(struct front *front, struct mn_span service, struct front_known *known,
                       enum names_kind kind);
void front_stream_listen(struct front *front, struct front_exchange *exchange,
                         const struct jsonrpc_message *message, const struct front_meta *meta);
void front_stream_get(struct front *front, struct front_exchange *exchange,
                      struct front_session *session);

/* Lists may have changed: tells all clients whose list did. */
void front_stream_changed(struct front *front);

/* Ends a lasting stream, or all, as a server that goes away does. */
void front_stream_end(struct front *front, struct front_exchange *exchange);
void front_stream_stop(struct front *front);

#endif
