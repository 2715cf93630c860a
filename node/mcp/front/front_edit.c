#include "node/mcp/front/front_edit.h"

#include "node/json/string.h"
#include "node/mcp/front/front_parts.h"
#include "proto/base/check.h"
#include "proto/base/text.h"

#define RELATED "io.modelcontextprotocol/related-task"
#define LEFT_OUT " was left out: revisions of your client's have no such content"
#define KEY_SIZE_MAX 256u /* of one with escapes: longer is none that matters */

/* What may be looked at for where links lead: for one of them half as much as of the text in a
 * tick, for those of a text as much as of that, or of the largest one that is not looked at in
 * ticks. Where that is not enough, a link gets its long form, which is always right. */
#define LINK_EFFORT_MAX ((size_t)16 << 10)
#define LINKS_EFFORT_MIN JSONRPC_LARGE
#define LINK_WORK 32 /* of one, however little was looked at: bytes of the text */

enum edit_what {
    EDIT_LINKS = 1,    /* of blocks in the results of tools and prompts: where they lead */
    EDIT_NEWER = 2,    /* kinds of such blocks that came with a newer revision */
    EDIT_BLOCKS = 3,   /* both */
    EDIT_CONTENTS = 4, /* of a resource: its URI */
    EDIT_ABOUT = 8,    /* a task's id, where the text is about it */
    EDIT_RELATED = 16  /* and where it is about something of it */
};

/* What the members of an object are. */
static const struct {
    enum front_edit_role in;
    const char *key;
    enum front_edit_role is;
    uint32_t what; /* any of these */
} members[] = {
    {FRONT_EDIT_RESULT, "content", FRONT_EDIT_BLOCKS, EDIT_BLOCKS},
    {FRONT_EDIT_RESULT, "messages", FRONT_EDIT_MESSAGES, EDIT_BLOCKS},
    {FRONT_EDIT_RESULT, "contents", FRONT_EDIT_ITEMS, EDIT_CONTENTS},
    {FRONT_EDIT_RESULT, "taskId", FRONT_EDIT_NAMED, EDIT_ABOUT},
    {FRONT_EDIT_RESULT, "task", FRONT_EDIT_TASK, EDIT_ABOUT},
    {FRONT_EDIT_RESULT, "_meta", FRONT_EDIT_META, EDIT_RELATED},
    {FRONT_EDIT_MESSAGE, "content", FRONT_EDIT_BLOCK, EDIT_BLOCKS},
    {FRONT_EDIT_BLOCK, "type", FRONT_EDIT_TYPE, EDIT_BLOCKS},
    {FRONT_EDIT_BLOCK, "uri", FRONT_EDIT_URI, EDIT_BLOCKS},
    {FRONT_EDIT_BLOCK, "name", FRONT_EDIT_NAME, EDIT_NEWER},
    {FRONT_EDIT_BLOCK, "mimeType", FRONT_EDIT_MIME, EDIT_NEWER},
    {FRONT_EDIT_BLOCK, "resource", FRONT_EDIT_RESOURCE, EDIT_LINKS},
    {FRONT_EDIT_RESOURCE, "uri", FRONT_EDIT_RESOURCE_URI, EDIT_LINKS},
    {FRONT_EDIT_ITEM, "uri", FRONT_EDIT_NAMED, EDIT_CONTENTS},
    {FRONT_EDIT_TASK, "taskId", FRONT_EDIT_NAMED, EDIT_ABOUT},
    {FRONT_EDIT_META, RELATED, FRONT_EDIT_RELATED, EDIT_RELATED},
    {FRONT_EDIT_RELATED, "taskId", FRONT_EDIT_NAMED, EDIT_RELATED},
};
#define MEMBERS_COUNT (sizeof members / sizeof *members)
_Static_assert(MEMBERS_COUNT <= 32, "seen has a bit for each");

/* Kinds of content that came with a revision; text, image and resource have always been there. */
static const struct {
    const char *type, *since;
} newer[] = {{"audio", "2025-03-26"}, {"resource_link", "2025-06-18"}};
#define NEWER_COUNT (sizeof newer / sizeof *newer)

static bool edit_is_list(enum front_edit_role role)
{
    return role == FRONT_EDIT_BLOCKS || role == FRONT_EDIT_MESSAGES || role == FRONT_EDIT_ITEMS;
}

/* ---- what changes ---- */

/* The change that goes on, or begins, at [at]. */
static struct pieces_change *edit_change(struct front_edit *edit, const uint8_t *at)
{
    struct pieces_change *change;

    if (edit->is_changing) return &edit->changes[edit->changes_count - 1];
    MN_ASSERT(edit->changes_count < FRONT_EDIT_CHANGES_MAX);
    change = &edit->changes[edit->changes_count++];
    *change =
        (struct pieces_change){at, at, {.source = edit->source, .is_line = edit->source != NULL}};
    edit->is_changing = true;
    return change;
}

/* Where to write what stands instead of the text from [begin] up to [end]. */
static struct pieces *edit_replace(struct front_edit *edit, size_t begin, size_t end)
{
    const uint8_t *at = edit->text.data + begin;
    struct pieces_change *change = edit_change(edit, at);

    MN_ASSERT(at >= change->end && end > begin);
    pieces_add(&change->pieces, mn_span(change->end, (size_t)(at - change->end)));
    change->end = edit->text.data + end;
    return &change->pieces;
}

static void edit_write(struct front_edit *edit, size_t begin, size_t end, struct mn_span instead)
{
    json_write_string(&edit_replace(edit, begin, end)->writer, instead);
    json_feed_spend(edit->feed, instead.size);
}

/* The text of a string; nothing if that is too long to be one that matters. */
static struct mn_span edit_text(const struct front_edit *edit, const struct front_edit_place *place)
{
    struct mn_span quoted, text;

    if (place->end == 0 || place->end - place->begin > JSON_FEED_TEXT_MAX) return mn_span(NULL, 0);
    quoted = mn_span(edit->text.data + place->begin + 1, place->end - place->begin - 2);
    if (!place->has_escapes) return quoted;
    if (!json_string_unescape(quoted, false, &edit->front->scratch, &text)) return mn_span(NULL, 0);
    return text;
}

static struct mn_span edit_of(const struct front_edit *edit, enum front_edit_role role)
{
    return edit_text(edit, &edit->places[role]);
}

static bool edit_is_known(const struct front_edit *edit, struct mn_span type)
{
    if ((edit->what & EDIT_NEWER) == 0) return true;
    for (size_t i = 0; i < NEWER_COUNT; i++)
        if (mn_span_is(type, newer[i].type))
            return strcmp(edit->call->session->version, newer[i].since) >= 0;
    return true;
}

/* A block that the client's revision does not know, as text. */
static void edit_describe(struct front_edit *edit, struct mn_span type, struct mn_span uri,
                          size_t end)
{
    struct mn_span name = edit_of(edit, FRONT_EDIT_NAME), mime = edit_of(edit, FRONT_EDIT_MIME);
    struct mn_arena *scratch = &edit->front->scratch;
    struct pieces *to;
    const char *text;

    if (mn_span_is(type, "audio"))
        text = mn_arena_format(scratch, "audio (%.*s)" LEFT_OUT, (int)mime.size,
                               (const char *)mime.data);
    else
        text = mn_arena_format(scratch, "%.*s <%.*s>", (int)name.size, (const char *)name.data,
                               (int)uri.size, (const char *)uri.data);
    to = edit_replace(edit, edit->block, end);
    pieces_str(to, "{\"type\":\"text\",\"text\":");
    json_write_string(&to->writer, mn_span_str(text));
    pieces_str(to, "}");
}

static bool edit_is_same(const struct front_edit *edit, const struct front_edit_place *a,
                         const struct front_edit_place *b)
{
    return mn_span_equal(mn_span(edit->text.data + a->begin, a->end - a->begin),
                         mn_span(edit->text.data + b->begin, b->end - b->begin));
}

/* Where the link to [uri], which stands at [place], is to lead. */
static struct mn_span edit_lead(struct front_edit *edit, const struct front_edit_place *place,
                                struct mn_span uri)
{
    size_t most = edit->effort < LINK_EFFORT_MAX ? edit->effort : LINK_EFFORT_MAX, left = most;

    if (!edit_is_same(edit, place, &edit->link)) {
        edit->is_leading = front_links_lead(edit->front, edit->call, uri, &left);
        edit->link = *place;
        edit->effort -= most - left;
        json_feed_spend(edit->feed, LINK_WORK + most - left);
    }
    return edit->is_leading ? uri : names_long_uri(&edit->front->scratch, edit->call->service, uri);
}

/* The open block ends. */
static void edit_judge(struct front_edit *edit, size_t end)
{
    struct mn_span type = edit_of(edit, FRONT_EDIT_TYPE), uri, led;
    enum front_edit_role role = FRONT_EDIT_NONE;

    if (mn_span_is(type, "resource_link")) role = FRONT_EDIT_URI;
    if (mn_span_is(type, "resource")) role = FRONT_EDIT_RESOURCE_URI;
    led = uri = edit_of(edit, role); /* there is no place of none */
    if ((edit->what & EDIT_LINKS) != 0 && uri.size > 0)
        led = edit_lead(edit, &edit->places[role], uri);
    if (!edit_is_known(edit, type))
        edit_describe(edit, type, led, end);
    else if (led.data != uri.data)
        edit_write(edit, edit->places[role].begin, edit->places[role].end, led);
}

/* ---- where it stands ---- */

static enum front_edit_role edit_member(struct front_edit *edit, const struct json_feed_seen *seen)
{
    const struct front_edit_place place = {seen->begin, seen->end, seen->has_escapes};
    enum front_edit_role in = edit->levels[seen->depth - 1].role;
    struct mn_span key;

    if (in == FRONT_EDIT_NONE || seen->end - seen->begin > KEY_SIZE_MAX) return FRONT_EDIT_NONE;
    key = edit_text(edit, &place);
    for (uint32_t i = 0; i < MEMBERS_COUNT; i++) {
        uint32_t *known = &edit->levels[seen->depth - 1].seen, bit = 1u << i;
        if (members[i].in != in || (members[i].what & edit->what) == 0 ||
            !mn_span_is(key, members[i].key))
            continue;
        if ((*known & bit) != 0) return FRONT_EDIT_NONE;
        *known |= bit;
        return members[i].is;
    }
    return FRONT_EDIT_NONE;
}

static enum front_edit_role edit_role(const struct front_edit *edit, uint32_t depth)
{
    enum front_edit_role in = depth == 0 ? FRONT_EDIT_NONE : edit->levels[depth - 1].role;

    if (depth == 0) return FRONT_EDIT_RESULT;
    if (edit_is_list(in)) return (enum front_edit_role)(in + 1);
    return in == FRONT_EDIT_NONE ? FRONT_EDIT_NONE : edit->next;
}

static void edit_open(struct front_edit *edit, const struct json_feed_seen *seen)
{
    enum front_edit_role role = edit_role(edit, seen->depth);

    if (role >= FRONT_EDIT_NAMED || edit_is_list(role) != (seen->type == JSON_ARRAY))
        role = FRONT_EDIT_NONE;
    edit->levels[seen->depth].role = role;
    edit->levels[seen->depth].seen = 0;
    if (role != FRONT_EDIT_BLOCK) return;
    edit->block = seen->begin;
    memset(edit->places, 0, sizeof edit->places);
}

static void edit_scalar(struct front_edit *edit, const struct json_feed_seen *seen)
{
    const struct front_edit_place place = {seen->begin, seen->end, seen->has_escapes};
    enum front_edit_role in =
        seen->depth == 0 ? FRONT_EDIT_NONE : edit->levels[seen->depth - 1].role;

    if (in == FRONT_EDIT_NONE || edit_is_list(in) || seen->type != JSON_STRING ||
        edit->next < FRONT_EDIT_NAMED)
        return;
    if (edit->next != FRONT_EDIT_NAMED)
        edit->places[edit->next] = place;
    else if (mn_span_equal(edit_text(edit, &place), edit->from))
        edit_write(edit, place.begin, place.end, edit->to);
}

static void edit_seen(void *owner, const struct json_feed_seen *seen)
{
    struct front_edit *edit = owner;

    switch (seen->part) {
    case JSON_FEED_KEY:
        edit->is_changing = edit->is_changing && seen->depth > 1;
        edit->next = edit_member(edit, seen);
        break;
    case JSON_FEED_SCALAR: edit_scalar(edit, seen); break;
    case JSON_FEED_OPEN: edit_open(edit, seen); break;
    case JSON_FEED_CLOSE:
        if (edit->levels[seen->depth].role == FRONT_EDIT_BLOCK) edit_judge(edit, seen->end);
        break;
    }
}

/* ---- a result ---- */

bool front_edit_begin(struct front *front, const struct front_call *call, struct front_edit *ret)
{
    uint32_t what = 0;

    if (front_links_are_ours(front, call)) what |= EDIT_LINKS;
    if (call->session != NULL && strcmp(call->session->version, newer[NEWER_COUNT - 1].since) < 0)
        what |= EDIT_NEWER;
    if (call->uri.size > 0)
        what |= call->method->kind == NAMES_UI ? EDIT_ABOUT | EDIT_RELATED : EDIT_CONTENTS;
    *ret = (struct front_edit){
        .front = front, .call = call, .what = what, .from = call->own, .to = call->uri};
    return what != 0;
}

void front_edit_watch(struct front_edit *edit, struct json_feed *feed, struct mn_span text,
                      struct mn_buf *source)
{
    edit->text = text;
    edit->source = source;
    edit->feed = feed;
    edit->effort = text.size > LINKS_EFFORT_MIN ? text.size : LINKS_EFFORT_MIN;
    json_feed_watch(feed, FRONT_EDIT_DEPTH, edit_seen, edit);
}

void front_edit_hurry(struct front_edit *edit)
{
    edit->effort = 0;
}

void front_edit_done(struct front_edit *edit)
{
    while (edit->changes_count > 0)
        pieces_drop(&edit->changes[--edit->changes_count].pieces);
}

/* ---- all at once ---- */

static struct mn_span edit_whole(struct front_edit *edit, struct mn_span text)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 1, JSON_NODES_MAX};
    struct front *front = edit->front;
    struct json_feed *feed = json_feed_new(limits);
    struct pieces to = {0};
    const struct json *whole;
    uint8_t *copy;

    front_edit_watch(edit, feed, text, NULL);
    if (json_feed_end(feed, text, &front->scratch, &whole) == MN_OK && edit->changes_count > 0) {
        to.changes = edit->changes;
        to.changes_count = edit->changes_count;
        pieces_add(&to, text);
        copy = mn_arena_alloc(&front->scratch, pieces_size(&to) + MN_BUF_PADDING);
        text = mn_span(copy, pieces_size(&to));
        memcpy(copy, to.writer.buf->bytes, text.size);
        pieces_drop(&to);
    }
    json_feed_free(feed);
    front_edit_done(edit);
    return text;
}

/* Most results have nothing of that kind, which is found out sooner than where it would be. Letters
 * may be written as escapes, though. */
static uint32_t edit_what_is_there(const struct front_edit *edit, struct mn_span text)
{
    uint32_t what = edit->what & ~(uint32_t)EDIT_BLOCKS;

    if ((edit->what & EDIT_BLOCKS) != 0 && mn_text_has(text, mn_span_str("\\u00")))
        return edit->what;
    if ((edit->what & EDIT_LINKS) != 0 && mn_text_has(text, mn_span_str("\"resource")))
        what |= EDIT_LINKS;
    for (size_t i = 0; i < NEWER_COUNT && (edit->what & EDIT_NEWER) != 0; i++)
        if (mn_text_has(text, mn_span_str(newer[i].type))) what |= EDIT_NEWER;
    return what;
}

struct mn_span front_edit_result(struct front *front, const struct front_call *call,
                                 struct mn_span text)
{
    struct front_edit edit;

    if (!front_edit_begin(front, call, &edit)) return text;
    edit.what = edit_what_is_there(&edit, text);
    return edit.what == 0 ? text : edit_whole(&edit, text);
}

struct mn_span front_edit_task(struct front *front, struct mn_span text, struct mn_span from,
                               struct mn_span to, bool is_about)
{
    struct front_edit edit = {
        .front = front, .what = EDIT_RELATED | (is_about ? EDIT_ABOUT : 0), .from = from, .to = to};

    return edit_whole(&edit, text);
}
