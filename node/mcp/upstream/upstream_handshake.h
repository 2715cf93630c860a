/* upstream_handshake.h: finds out which era of MCP a server speaks, and opens the session.
 *
 * Unknown era: the modern server/discover is asked first. What counts as an answer differs: a child
 * that answers with anything but a DiscoverResult or a modern error, stays silent, or exits is
 * legacy; so is an HTTP endpoint that answers 4xx or with an error that proves nothing. An outage
 * (no connection, 5xx, silence of HTTP) and a refusal (401, 403) say nothing about the era. */
#ifndef UPSTREAM_HANDSHAKE_H
#define UPSTREAM_HANDSHAKE_H

#include "node/mcp/upstream/upstream.h"

void upstream_handshake_begin(struct upstream *server);

/* The session of before, over HTTP: asks whether the server still knows it. If not, or if it is
 * another server now, a new one is opened. */
void upstream_handshake_resume(struct upstream *server);
void upstream_handshake_on_resumed(struct upstream *server, const struct jsonrpc_message *message,
                                   uint32_t code);

/* [request] was answered by [message], or, over HTTP, with status [code] and no message at all
 * (NULL). It has been taken out of the tables and is freed by the caller. */
void upstream_handshake_on_probe(struct upstream *server, const struct jsonrpc_message *message,
                                 uint32_t code);
void upstream_handshake_on_initialize(struct upstream *server,
                                      const struct jsonrpc_message *message, uint32_t code);

/* No answer to the probe in time. The probe stays open: a slow modern child may still answer. Which
 * session it then goes on in, the answer to initialize tells. */
void upstream_handshake_on_silence(struct upstream *server);

/* No answer to initialize in time; it is forgotten. */
void upstream_handshake_on_no_session(struct upstream *server);

/* HTTP: the server has taken notifications/initialized. */
void upstream_handshake_on_initialized(struct upstream *server);

#endif
