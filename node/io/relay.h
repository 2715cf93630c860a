/* relay.h: the decisions of `meshnode mcp`: one JSON-RPC line in, one POST out; what comes back, as
 * JSON or as server-sent events, one line out. Both eras of MCP at once: a request whose _meta
 * names a protocol version is modern and stands alone; after `initialize` the rest belongs to the
 * one legacy session of this process, whose id and version travel as headers, whose GET stream is
 * kept open, and which is ended when the input ends. When the node forgot the session (it was
 * restarted), the relay opens a new one by itself and sends the message again.
 *
 * Pure: outputs are EDGE_OUT_FETCH_* and the lines handed to say(). */
#ifndef IO_RELAY_H
#define IO_RELAY_H

#include "node/edge.h"

#define RELAY_LINE_MAX ((size_t)32 << 20) /* bytes of one message */
#define RELAY_REQUESTS_MAX 1024u          /* under way; more wait */

struct relay_config {
    struct mn_span url;    /* of the MCP endpoint; copied */
    struct mn_span bearer; /* secret; may be empty; copied */
    void *owner;
    void (*say)(void *owner, struct mn_span line); /* a message to the client, without its end */
};

struct relay;

struct relay *relay_new(const struct relay_config *config);
void relay_free(struct relay *relay);

/* May the next line be given? No while an answer decides how it must be sent. */
bool relay_is_ready(const struct relay *relay);

/* A line of the client, not empty; takes the ref. */
void relay_take(struct relay *relay, struct mn_buf *line, struct edge_outbox *outbox);

/* The client has ended its input: finishes what is under way, then ends the session. */
void relay_end(struct relay *relay, struct mn_now now, struct edge_outbox *outbox);

/* FETCH_HEAD, FETCH_BODY, FETCH_DONE, TICK. */
void relay_step(struct relay *relay, struct mn_now now, const struct edge_input *input,
                struct edge_outbox *outbox);
mn_time relay_deadline(const struct relay *relay);

/* After relay_end(): nothing is left to do. */
bool relay_is_done(const struct relay *relay);

#endif
