/* upstream_round.h: rounds of a modern server (MCP 2026-07-28, multi round-trip requests) of which
 * the caller does not know, for its client is asked while the call runs: the server's result
 * input_required becomes questions, and when all are answered the call goes out once more. */
#ifndef UPSTREAM_ROUND_H
#define UPSTREAM_ROUND_H

#include "node/mcp/upstream/upstream_question.h"

/* A result input_required for a live call: its client is asked, or the call is over, for that
 * cannot be asked so. */
void upstream_round_begin(struct upstream_request *request, const struct json *result);

/* A question is answered; the last answer ends the round. Takes the ref. */
void upstream_round_collect(struct upstream_request *request, struct upstream_question *question,
                            struct mn_buf *answer);

/* The call, which waited, goes out again. */
void upstream_round_again(struct upstream_request *request);

#endif
