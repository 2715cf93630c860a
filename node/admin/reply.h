/* reply.h: writes one JSON answer, member by member, so that commas and escapes cannot go wrong.
 * [key] is NULL inside an array. */
#ifndef REPLY_H
#define REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "node/json/json.h"
#include "proto/base/buf.h"
#include "proto/base/id.h"
#include "proto/base/time.h"

struct reply {
    struct mn_writer writer;
    bool needs_comma;
};

void reply_object(struct reply *reply, const char *key);
void reply_object_end(struct reply *reply);
void reply_array(struct reply *reply, const char *key);
void reply_array_end(struct reply *reply);
void reply_str(struct reply *reply, const char *key, struct mn_span text);
void reply_text(struct reply *reply, const char *key, const char *text);
void reply_u64(struct reply *reply, const char *key, uint64_t value);
void reply_i64(struct reply *reply, const char *key, int64_t value);
void reply_bool(struct reply *reply, const char *key, bool value);
void reply_null(struct reply *reply, const char *key);
void reply_id(struct reply *reply, const char *key, const mn_id *id);

/* Unix microseconds as RFC 3339 UTC with milliseconds. */
void reply_time(struct reply *reply, const char *key, mn_time wall);

/* Microseconds as milliseconds with three digits: 1.234. */
void reply_ms(struct reply *reply, const char *key, mn_time duration);

/* JSON made elsewhere. */
void reply_raw(struct reply *reply, const char *key, struct mn_span json);

/* All members of an object that was parsed one level deep or more, as they stand there. */
void reply_members(struct reply *reply, const struct json *object);

/* {"api":"meshctl/v1","kind":[kind], and stays open: reply_end() closes it. */
void reply_begin(struct reply *reply, const char *kind);

/* The same, for a list: "items":[ stays open. reply_list_end() adds "missing" and "warnings". */
void reply_list_begin(struct reply *reply, const char *kind);
void reply_list_end(struct reply *reply);

/* The finished text, whose ref the caller owns. */
struct mn_buf *reply_end(struct reply *reply);

#endif
