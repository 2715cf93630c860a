#include "node/io/log.h"

#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "node/json/json.h"
#include "proto/base/buf.h"
#include "proto/base/memory.h"

/* Per kind of event and node: so many at once, then one per second. */
#define LOG_BURST 10u
#define LOG_SLOTS 512u   /* kinds and nodes told apart; on a clash they share a bucket */
#define LOG_TEXT_MAX 600 /* escaped, six bytes each, it still fits a line */
#define LOG_FIELD_MAX 48

struct log_bucket {
    mn_time filled; /* when [tokens] was right */
    uint32_t tokens;
    uint32_t suppressed;
};

struct log {
    struct log_config config;
    struct mn_writer line;
    uint64_t lost; /* lines that could not be written since the last one that could */
    struct log_bucket buckets[LOG_SLOTS];
};

const char *log_level_name(enum mn_level level)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    return level >= MN_LEVEL_DEBUG && level <= MN_LEVEL_ERROR ? names[level] : "unknown";
}

struct log *log_new(const struct log_config *config)
{
    struct log *log = mn_alloc(sizeof *log);
    log->config = *config;
    for (uint32_t i = 0; i < LOG_SLOTS; i++)
        log->buckets[i].tokens = LOG_BURST;
    return log;
}

void log_free(struct log *log)
{
    if (log == NULL) return;
    mn_writer_drop(&log->line);
    mn_free(log);
}

/* ---- fields ---- */

/* Text values are quoted only where they have to be, so that lines stay easy to read and cut. */
static bool log_is_bare(struct mn_span text)
{
    if (text.size == 0) return false;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c >= 0x7f) return false;
    }
    return true;
}

static void log_key(struct log *log, const char *key)
{
    struct mn_writer *line = &log->line;
    bool is_first = mn_writer_size(line) == 0;
    if (log->config.format == LOG_TEXT)
        mn_writer_format(line, "%s%s=", is_first ? "" : " ", key);
    else
        mn_writer_format(line, "%s\"%s\":", is_first ? "{" : ",", key);
}

static void log_text(struct log *log, const char *key, struct mn_span text)
{
    log_key(log, key);
    if (log->config.format == LOG_TEXT && log_is_bare(text))
        mn_writer_add(&log->line, text);
    else
        json_write_string(&log->line, text);
}

static void log_number(struct log *log, const char *key, uint64_t number)
{
    log_key(log, key);
    mn_writer_format(&log->line, "%llu", (unsigned long long)number);
}

/* The list of events says what a number means in words: "next try in ms". */
static void log_named_number(struct log *log, const char *words, uint64_t number)
{
    char key[LOG_FIELD_MAX];
    if (words[0] == '\0') return;
    snprintf(key, sizeof key, "%s", words);
    for (char *c = key; *c != '\0'; c++) {
        if (*c == ' ' || *c == '-') *c = '_';
    }
    log_number(log, key, number);
}

static void log_status(struct log *log, uint64_t number)
{
    const char *name = mn_status_name((mn_status)(int64_t)number);
    log_text(log, "status", mn_span_str(name));
}

static void log_field(struct log *log, const char *words, uint64_t number)
{
    if (strcmp(words, "status") == 0 && (int64_t)number <= 0)
        log_status(log, number);
    else
        log_named_number(log, words, number);
}

static void log_begin(struct log *log, mn_time wall, enum mn_level level, const char *event)
{
    char text[40];
    struct tm parts;
    time_t seconds = (time_t)(wall / MN_SEC);
    gmtime_r(&seconds, &parts);
    size_t size = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text + size, sizeof text - size, ".%03uZ", (unsigned)(wall / MN_MS % 1000));
    log_text(log, "time", mn_span_str(text));
    log_text(log, "level", mn_span_str(log_level_name(level)));
    log_text(log, "event", mn_span_str(event));
}

/* A pipe that is writable takes PIPE_BUF bytes without blocking, and no line is longer: who does
 * not read the log loses lines, and stops nobody. */
static void log_write(struct log *log, struct mn_span line)
{
    struct pollfd ready = {log->config.fd, POLLOUT, 0};
    ssize_t written = -1;
    if (poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT) != 0)
        written = write(log->config.fd, line.data, line.size < PIPE_BUF ? line.size : PIPE_BUF);
    if (written < 0)
        log->lost++;
    else
        log->lost = 0; /* it was said in this line */
}

static void log_end(struct log *log)
{
    if (log->lost > 0) log_number(log, "lost_lines", log->lost);
    mn_writer_str(&log->line, log->config.format == LOG_TEXT ? "\n" : "}\n");
    struct mn_buf *line = mn_writer_done(&log->line);
    log_write(log, mn_buf_span(line));
    mn_buf_unref(line);
}

/* ---- rate ---- */

static struct log_bucket *log_bucket(struct log *log, const struct mn_trace_event *event)
{
    uint64_t hash = 0xcbf29ce484222325U ^ (uint64_t)event->event;
    for (size_t i = 0; i < sizeof event->id.bytes; i++)
        hash = (hash ^ event->id.bytes[i]) * 0x100000001b3U; /* FNV-1a */
    return &log->buckets[(hash >> 20) % LOG_SLOTS];
}

static bool log_may(struct log *log, const struct mn_trace_event *event, uint32_t *ret_suppressed)
{
    struct log_bucket *bucket = log_bucket(log, event);
    mn_time earned = event->mono > bucket->filled ? (event->mono - bucket->filled) / MN_SEC : 0;
    if (earned > 0) {
        bucket->filled = event->mono;
        bucket->tokens =
            earned >= LOG_BURST - bucket->tokens ? LOG_BURST : bucket->tokens + (uint32_t)earned;
    }
    if (bucket->tokens == 0) {
        bucket->suppressed++;
        return false;
    }
    bucket->tokens--;
    *ret_suppressed = bucket->suppressed;
    bucket->suppressed = 0;
    return true;
}

/* ---- lines ---- */

void log_event(struct log *log, struct mn_now now, const struct mn_trace_event *event)
{
    enum mn_level level = mn_event_level(event->event);
    uint32_t suppressed = 0;
    if (level < log->config.level || !log_may(log, event, &suppressed)) return;
    mn_time age = now.mono > event->mono ? now.mono - event->mono : 0;
    log_begin(log, now.wall - age, level, mn_event_name(event->event));
    if (!mn_id_is_zero(&event->id)) {
        char id[MN_ID_TEXT_SIZE];
        log_text(log, "id", mn_span_str(mn_id_format(&event->id, id)));
    }
    if (event->text[0] != '\0') log_text(log, "about", mn_span_str(event->text));
    log_field(log, mn_event_a_name(event->event), event->a);
    log_field(log, mn_event_b_name(event->event), event->b);
    if (suppressed > 0) log_number(log, "left_out", suppressed);
    log_end(log);
}

void log_line(struct log *log, struct mn_now now, enum mn_level level, const char *event,
              const char *format, ...)
{
    char text[LOG_TEXT_MAX];
    va_list arguments;
    if (level < log->config.level) return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    log_begin(log, now.wall, level, event);
    log_text(log, "text", mn_span_str(text));
    log_end(log);
}
