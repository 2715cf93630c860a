/* Changes of the strong keyspace: those there are, waited for once, or followed as JSON lines. A
 * place among them is "REV", all of that revision, or "REV.PART". */
#include "node/admin/admin_internal.h"

#define POLL_TIME (10 * MN_SEC) /* of a stream; then it says where it is */

static bool read_number(struct mn_span *text, uint64_t most, uint64_t *ret)
{
    size_t digits = 0;

    *ret = 0;
    while (digits < text->size && text->data[digits] >= '0' && text->data[digits] <= '9') {
        uint64_t digit = (uint64_t)(text->data[digits++] - '0');
        if (*ret > (most - digit) / 10) return false;
        *ret = *ret * 10 + digit;
    }
    *text = mn_span(text->data + digits, text->size - digits);
    return digits > 0;
}

static bool read_place(struct mn_span text, struct strong_place *ret)
{
    uint64_t part = STRONG_PART_ALL;

    if (!read_number(&text, UINT64_MAX, &ret->rev)) return false;
    if (text.size > 0 && *text.data == '.') {
        text = mn_span(text.data + 1, text.size - 1);
        if (!read_number(&text, STRONG_PART_ALL, &part)) return false;
    }
    ret->part = (uint32_t)part;
    return text.size == 0;
}

static void write_place(const struct admin_request *request, struct reply *reply, const char *name,
                        struct strong_place place)
{
    const char *part = "";

    if (place.part != STRONG_PART_ALL)
        part = mn_arena_format(request->outbox->arena, ".%u", place.part);
    reply_text(
        reply, name,
        mn_arena_format(request->outbox->arena, "%llu%s", (unsigned long long)place.rev, part));
}

static void ask(struct admin_request *request, struct state_request state)
{
    state.type = STATE_WATCH;
    state.watch.prefix = admin_query(request, "prefix");
    admin_ask_state(request, state);
}

static void watch_handle(struct admin_request *request)
{
    struct state_request state = {0};
    struct mn_span from = admin_query(request, "from");

    state.watch.is_now = from.data == NULL;
    if (from.data != NULL && !read_place(from, &state.watch.after)) {
        admin_fail_text(request, 400, "bad_request",
                        "from: a revision, or the `at` of a change, after which to go on",
                        "meshctl state watch");
        return;
    }
    request->exchange->place = state.watch.after;
    if (admin_state_timeout(request, &state)) ask(request, state);
}

/* ---- what has changed ---- */

static void write_change(const struct admin_request *request, struct reply *reply,
                         const struct state_change *change)
{
    reply_object(reply, NULL);
    write_place(request, reply, "at", change->place);
    reply_u64(reply, "rev", change->place.rev);
    reply_str(reply, "key", change->key);
    if (change->is_removed)
        reply_null(reply, "value");
    else
        reply_str(reply, "value", change->value);
    reply_bool(reply, "removed", change->is_removed);
    reply_u64(reply, "created", change->created);
}

static void take_line(struct mn_writer *lines, struct reply *reply)
{
    struct mn_buf *line = reply_end(reply);

    mn_writer_add(lines, mn_buf_span(line));
    mn_buf_unref(line);
}

/* Says also where it is when nothing has changed: from an old place it may be too late to go on. */
static void write_lines(const struct admin_request *request, const struct state_answer *answer,
                        struct mn_writer *lines)
{
    struct strong_place place = request->exchange->place;

    for (uint32_t i = 0; i < answer->changes_count; i++) {
        struct reply reply = {0};
        write_change(request, &reply, &answer->changes[i]);
        take_line(lines, &reply);
    }
    if (answer->changes_count == 0 && place.rev != answer->place.rev) {
        struct reply reply = {0};
        reply_object(&reply, NULL);
        write_place(request, &reply, "at", answer->place);
        take_line(lines, &reply);
    }
}

static void follow(struct admin_request *request, const struct state_answer *answer)
{
    struct state_request state = {.watch.after = answer->place, .timeout = POLL_TIME};
    struct mn_writer lines = {0};

    if (!request->exchange->is_stream && !admin_stream_begin(request)) return;
    write_lines(request, answer, &lines);
    request->exchange->place = answer->place;
    admin_stream_send(request, &lines);
    if (request->exchange != NULL) ask(request, state);
}

static void answer_once(struct admin_request *request, const struct state_answer *answer)
{
    struct reply reply;

    reply_begin(&reply, "StateChanges");
    write_place(request, &reply, "next", answer->place);
    reply_array(&reply, "items");
    for (uint32_t i = 0; i < answer->changes_count; i++) {
        write_change(request, &reply, &answer->changes[i]);
        reply_object_end(&reply);
    }
    reply_list_end(&reply);
    admin_answer(request, 200, &reply);
}

/* A stream that cannot go on ends with the reason. */
static void fail(struct admin_request *request, const struct state_answer *answer)
{
    static const char expired[] =
        "changes after that place are not kept any more: list the keys, and "
        "watch from the list's rev";
    struct mn_writer lines = {0};

    if (request->exchange->is_stream) {
        mn_writer_format(&lines,
                         "{\"error\":{\"code\":\"%s\",\"message\":\"%s\",\"hint\":\"meshctl state "
                         "ls\",\"retryable\":true}}\n",
                         answer->status == MN_EXPIRED ? "expired" : "busy",
                         answer->status == MN_EXPIRED ? expired : mn_status_text(answer->status));
        admin_stream_finish(request, &lines);
    } else if (answer->status == MN_EXPIRED) {
        admin_fail_text(request, 409, "expired", expired, "meshctl state ls");
    } else {
        (void)admin_state_told(request, answer);
    }
}

static void on_changes(struct admin_request *request, const struct state_answer *answer)
{
    if (answer->status != MN_OK)
        fail(request, answer);
    else if (admin_stream_follows(request))
        follow(request, answer);
    else
        answer_once(request, answer);
}

const struct admin_route admin_watch_routes[] = {
    {"GET", "/v1/watch", "prefix from follow timeout_ms", watch_handle, NULL, NULL, on_changes},
    {0},
};
