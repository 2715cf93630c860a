/* front_reply.h: HTTP requests as they come in, and what goes out on them; by the file that has it.
 */
#ifndef FRONT_REPLY_H
#define FRONT_REPLY_H

#include "node/mcp/front/front_state.h"

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

#endif
