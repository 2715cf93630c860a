#include "node/admin/reply.h"

static void reply_key(struct reply *reply, const char *key)
{
    if (reply->needs_comma) mn_writer_str(&reply->writer, ",");
    reply->needs_comma = true;
    if (key == NULL) return;
    json_write_string(&reply->writer, mn_span_str(key));
    mn_writer_str(&reply->writer, ":");
}

static void reply_open(struct reply *reply, const char *key, const char *bracket)
{
    reply_key(reply, key);
    mn_writer_str(&reply->writer, bracket);
    reply->needs_comma = false;
}

static void reply_close(struct reply *reply, const char *bracket)
{
    mn_writer_str(&reply->writer, bracket);
    reply->needs_comma = true;
}

void reply_object(struct reply *reply, const char *key)
{
    reply_open(reply, key, "{");
}

void reply_object_end(struct reply *reply)
{
    reply_close(reply, "}");
}

void reply_array(struct reply *reply, const char *key)
{
    reply_open(reply, key, "[");
}

void reply_array_end(struct reply *reply)
{
    reply_close(reply, "]");
}

void reply_str(struct reply *reply, const char *key, struct mn_span text)
{
    reply_key(reply, key);
    json_write_string(&reply->writer, text);
}

void reply_text(struct reply *reply, const char *key, const char *text)
{
    reply_str(reply, key, mn_span_str(text));
}

void reply_u64(struct reply *reply, const char *key, uint64_t value)
{
    reply_key(reply, key);
    mn_writer_number(&reply->writer, value);
}

void reply_i64(struct reply *reply, const char *key, int64_t value)
{
    reply_key(reply, key);
    mn_writer_format(&reply->writer, "%lld", (long long)value);
}

void reply_bool(struct reply *reply, const char *key, bool value)
{
    reply_raw(reply, key, mn_span_str(value ? "true" : "false"));
}

void reply_null(struct reply *reply, const char *key)
{
    reply_raw(reply, key, mn_span_str("null"));
}

void reply_id(struct reply *reply, const char *key, const mn_id *id)
{
    char text[MN_ID_TEXT_SIZE];

    if (mn_id_is_zero(id))
        reply_null(reply, key);
    else
        reply_text(reply, key, mn_id_format(id, text));
}

/* Days since the epoch to a date, after Howard Hinnant, "chrono-compatible low-level date
 * algorithms" (2013): eras of 400 years that begin on March 1st. */
static void civil_from_days(uint64_t days, unsigned *year, unsigned *month, unsigned *day)
{
    uint64_t shifted = days + 719468, era = shifted / 146097, of_era = shifted % 146097;
    uint64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint64_t march_month = (5 * of_year + 2) / 153;

    *day = (unsigned)(of_year - (153 * march_month + 2) / 5 + 1);
    *month = (unsigned)(march_month < 10 ? march_month + 3 : march_month - 9);
    *year = (unsigned)(year_of_era + era * 400 + (*month <= 2 ? 1 : 0));
}

void reply_time(struct reply *reply, const char *key, mn_time wall)
{
    uint64_t seconds = wall / MN_SEC, of_day = seconds % 86400;
    unsigned year, month, day;

    civil_from_days(seconds / 86400, &year, &month, &day);
    reply_key(reply, key);
    mn_writer_format(&reply->writer, "\"%04u-%02u-%02uT%02u:%02u:%02u.%03uZ\"", year, month, day,
                     (unsigned)(of_day / 3600), (unsigned)(of_day / 60 % 60),
                     (unsigned)(of_day % 60), (unsigned)(wall / MN_MS % 1000));
}

void reply_ms(struct reply *reply, const char *key, mn_time duration)
{
    reply_key(reply, key);
    mn_writer_format(&reply->writer, "%llu.%03llu", (unsigned long long)(duration / MN_MS),
                     (unsigned long long)(duration % MN_MS));
}

void reply_raw(struct reply *reply, const char *key, struct mn_span json)
{
    reply_key(reply, key);
    mn_writer_add(&reply->writer, json);
}

void reply_members(struct reply *reply, const struct json *object)
{
    for (const struct json *key = json_first(object); key != NULL; key = json_next(object, key)) {
        reply_key(reply, NULL);
        mn_writer_add(&reply->writer, key->raw);
        mn_writer_str(&reply->writer, ":");
        mn_writer_add(&reply->writer, json_value(key)->raw);
    }
}

void reply_begin(struct reply *reply, const char *kind)
{
    *reply = (struct reply){0};
    reply_object(reply, NULL);
    reply_text(reply, "api", "meshctl/v1");
    reply_text(reply, "kind", kind);
}

void reply_list_begin(struct reply *reply, const char *kind)
{
    reply_begin(reply, kind);
    reply_array(reply, "items");
}

void reply_list_end(struct reply *reply)
{
    reply_array_end(reply);
    reply_array(reply, "missing");
    reply_array_end(reply);
    reply_array(reply, "warnings");
    reply_array_end(reply);
}

struct mn_buf *reply_end(struct reply *reply)
{
    reply_object_end(reply);
    mn_writer_str(&reply->writer, "\n");
    return mn_writer_done(&reply->writer);
}
