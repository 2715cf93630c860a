/* front_parts.h: what each part of the front offers the others, by the file that has it. */
#ifndef FRONT_PARTS_H
#define FRONT_PARTS_H

#include "node/mcp/front/front_state.h"

struct front_meta; /* front_reply.h */

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

/* The one that is known to have it (names_route_known()), if it may be asked there. */
void front_route_known(struct front *front, struct mn_span endpoint, struct mn_span uri,
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

/* [said_at]: when it came (mono); it may have waited for its session since. */
void front_legacy_notification(struct front *front, struct front_session *session,
                               const struct jsonrpc_message *message, mn_time said_at);
bool front_legacy_is_version(struct mn_span version);

/* The client took that request of its own back (its id; NULL: it says none) at that time (mono), so
 * not one that came later under the same id. False: nothing is known of it here. */
bool front_legacy_cancel(struct front *front, struct front_session *session, const struct json *id,
                         mn_time said_at);

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

/* ---- front_loop.c ---- */

/* Why a request of another mesh is refused: what that endpoint lists would come back to it. NULL:
 * it is not, and the answer will say what meshes are behind it. [is_begin]: it attaches itself just
 * now. */
const char *front_loop_fault(struct front *front, struct front_exchange *exchange,
                             const struct names_endpoint *at, bool is_begin);

/* ---- front_relay.c ---- */

/* A response ([text]), which came at that time (mono), answers nothing that is known here: the
 * nodes that had the session before hear it. False: it is too large for that. */
bool front_relay_response(struct front *front, const struct front_session *session,
                          struct mn_span text, mn_time said_at);

/* The same for a request (its id) that the client takes back. */
void front_relay_cancel(struct front *front, const struct front_session *session,
                        const struct json *id, mn_time said_at);

/* What another node passes on so, which its client said that long ago; it may be anything. */
void front_relay_on_word(struct front *front, struct front_session *session, struct mn_span word,
                         mn_time age);

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
void front_record_leave(struct front *front, struct front_exchange *exchange);

/* The session goes; copies stay for their time. Or it has ended for good, everywhere. */
void front_record_done(struct front *front, struct front_session *session);
void front_record_end(struct front *front, struct front_session *session);

/* The latter, as the client of the exchange wants it: that is answered once others know. */
void front_record_delete(struct front *front, struct front_exchange *exchange,
                         struct front_session *session);

/* Its client used another node since, or comes from one just now: what it says waits for its turn.
 */
bool front_record_is_elsewhere(const struct front *front, const struct front_session *session);

/* How often it had gone to another node when it came here last, plus one. */
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

#endif
