/* tool.h: an MCP server with a few tools, for tests and benchmarks; what mcp-tool-stdio and
 * mcp-tool-http have in common. It answers one message at a time; what takes time is left to the
 * program around it.
 *
 *   echo {text|message}   gives it back            big {bytes}            that many bytes of text
 *   sleep {ms}            answers after that       progress {steps, ms}   reports, then answers
 *   crash                 ends the process         hang                   never answers
 *   counter, counter_readonly   the number of executions so far, this one included
 *   echo_1 .. echo_N            echo again, of --tools N */
#ifndef TESTS_TOOL_H
#define TESTS_TOOL_H

#include "node/json/json.h"

#define TOOL_ID_MAX 256
#define TOOL_BIG_MAX (24u << 20)
#define TOOL_MORE_MAX 10000

enum tool_era { TOOL_LEGACY = 1, TOOL_MODERN = 2, TOOL_BOTH = 3 };

struct tool {
    enum tool_era era;
    const char *count_path; /* one byte is appended per counter call; NULL: count in memory */
    uint64_t count;
    bool is_sse;         /* over HTTP: every answer is a stream of one event */
    struct mn_buf *list; /* the result of tools/list, but for its end */
    struct json_parser *parser;
    struct mn_arena arena; /* of one message */
};

/* A call to be answered later. */
struct tool_later {
    char id[TOOL_ID_MAX + 1];    /* JSON text */
    char token[TOOL_ID_MAX + 1]; /* of progress, JSON text; empty: none wanted */
    bool is_modern;
    uint64_t ms;    /* to each step; UINT64_MAX: never */
    uint64_t steps; /* >= 1; the last one is the answer */
};

enum tool_verdict {
    TOOL_NOTHING = 1, /* a notification, or a response */
    TOOL_ANSWER,      /* written */
    TOOL_LATER,       /* see tool_later */
    TOOL_CANCEL       /* tool_later.id says which call */
};

/* Reads --era legacy|modern|both, --count-file FILE, --tools N and --answers json|sse out of
 * [argv]; false for any other word, but for pairs that begin with [own] (its value goes to
 * [own_value]). */
bool tool_init(struct tool *tool, int argc, char **argv, const char *own, const char **own_value);
void tool_done(struct tool *tool);

/* Handles one message; an answer is appended to [out], without a newline. */
enum tool_verdict tool_handle(struct tool *tool, struct mn_span message, struct mn_writer *out,
                              struct tool_later *later);

void tool_write_progress(const struct tool_later *later, uint64_t step, struct mn_writer *out);
void tool_write_later(const struct tool_later *later, struct mn_writer *out);

#endif
