/* sse.h: server-sent events (WHATWG HTML, section 9.2) as MCP's Streamable HTTP uses them. The
 * writer emits one data line per message, because some clients parse line by line. The reader takes
 * what the standard allows: CR, LF, CRLF, comments, several data lines, any split of the bytes. */
#ifndef SSE_H
#define SSE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/status.h"

/* One event with [json] as data; [id] empty: no id line. */
void sse_write_message(struct mn_writer *writer, struct mn_span id, struct mn_span json);

/* The same in pieces: first this, then JSON without CR and LF, then SSE_END. */
void sse_begin_message(struct mn_writer *writer, struct mn_span id);
#define SSE_END "\n\n"

/* An event without data: tells [id], with which the stream can be taken up again from here, and how
 * long a client should wait until it does. */
void sse_write_priming(struct mn_writer *writer, struct mn_span id, uint32_t retry_ms);

/* A comment line: keeps proxies from closing an idle stream. */
void sse_write_keepalive(struct mn_writer *writer);

/* All of it is the reader's, and valid until its next call. */
struct sse_event {
    struct mn_span type; /* "message" when the stream named none */
    struct mn_buf *data; /* may be empty, never NULL: "priming" events of MCP 2025-11-25 are */
    struct mn_span id;   /* the last event id of the stream so far, also from earlier events */
};

#define SSE_FIELD_SIZE_MAX 1024 /* bytes of an event type or id; longer ones are ignored */

struct sse_reader {
    struct mn_writer line; /* the unfinished line */
    struct mn_writer data; /* data lines of the unfinished event */
    struct mn_buf *event_data;
    struct mn_writer type, id;
    size_t size_max;   /* bytes of the data of one event; 9 more of a line */
    uint64_t retry_ms; /* newest value the stream gave; 0: none */
    bool is_in_data;   /* the unfinished line is one of data, and goes to its place as it comes */
    bool has_data, is_started, after_cr, is_broken;
};

void sse_reader_init(struct sse_reader *reader, size_t size_max);
void sse_reader_done(struct sse_reader *reader);

/* Consumes from the front of *[bytes] up to the end of the next event and returns true, or all of
 * it and returns false. After a line or event over size_max it is broken: everything is swallowed,
 * and sse_reader_status() says MN_TOO_BIG. An event without a data line only changes the id. */
bool sse_reader_next(struct sse_reader *reader, struct mn_span *bytes, struct sse_event *ret);
MN_MUST_USE mn_status sse_reader_status(const struct sse_reader *reader);

/* The newest event id of the stream, for Last-Event-ID; empty: it gave none. */
struct mn_span sse_reader_id(const struct sse_reader *reader);

#endif
