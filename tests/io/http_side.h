/* http_side.h: an HTTP server on a port of its own, with a recording machine behind it, for the
 * tests of it. Each test is a process of its own (check), so there is one of each. */
#ifndef TESTS_IO_HTTP_SIDE_H
#define TESTS_IO_HTTP_SIDE_H

#include "node/io/http.h"
#include "tests/io/world.h"

#define POST_HEAD "POST /mcp?a=%20b HTTP/1.1\r\nHost: x\r\nX-Some-Name: Some Value\r\n"
#define GET "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

extern struct world world;
extern struct http *http;
extern char address[HTTP_ADDRESS_SIZE]; /* where it listens */

void http_side_start(const struct http_config *config);

/* The fixture: with the configuration that is usual. */
void http_side_set_up(void);
void http_side_tear_down(void);

/* A handler that answers each request with its own body once that is complete. */
void http_side_echo(struct world *w, const struct edge_input *input);

/* A handler that takes nothing of a request that has a body until it is told to. */
void http_side_pause_at_open(struct world *w, const struct edge_input *input);

/* The newest input of that type. */
const struct edge_input *http_side_last(enum edge_input_type type);

#endif
