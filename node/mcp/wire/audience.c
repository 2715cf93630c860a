#include "node/mcp/wire/audience.h"

#include <string.h>

#include "crypto/digest.h"
#include "proto/base/bytes.h"

static const struct {
    uint32_t bit;
    const char *name;
} capabilities[] = {{AUDIENCE_SAMPLING, "sampling"},
                    {AUDIENCE_SAMPLING_TOOLS, "sampling.tools"},
                    {AUDIENCE_ELICITATION, "elicitation"},
                    {AUDIENCE_ELICITATION_URL, "elicitation.url"},
                    {AUDIENCE_ROOTS, "roots"},
                    {AUDIENCE_TASKS, "tasks"}};

#define SAMPLING (AUDIENCE_SAMPLING | AUDIENCE_SAMPLING_TOOLS)
#define ELICITATION (AUDIENCE_ELICITATION | AUDIENCE_ELICITATION_URL)
#define COUNT (sizeof capabilities / sizeof *capabilities)

_Static_assert(AUDIENCE_SETS == 1u << COUNT && AUDIENCE_SETS <= 64, "a table has a bit for each");

/* Of all that it can be asked. */
static uint32_t tasks_of(const struct json *declared, uint32_t set)
{
    const struct json *requests = json_find_str(json_find_str(declared, "tasks"), "requests");
    bool has_sampling = json_find_str(json_find_str(requests, "sampling"), "createMessage") != NULL;
    bool has_elicitation = json_find_str(json_find_str(requests, "elicitation"), "create") != NULL;

    if ((set & (SAMPLING | ELICITATION)) == 0) return 0;
    if ((set & SAMPLING) != 0 && !has_sampling) return 0;
    return (set & ELICITATION) == 0 || has_elicitation ? AUDIENCE_TASKS : 0;
}

uint32_t audience_set(const struct json *declared)
{
    const struct json *sampling = json_find_str(declared, "sampling");
    const struct json *elicitation = json_find_str(declared, "elicitation");
    bool has_url = json_is(json_find_str(elicitation, "url"), JSON_OBJECT);
    bool has_form = json_find_str(elicitation, "form") != NULL || !has_url;
    uint32_t set = 0;

    if (json_is(sampling, JSON_OBJECT)) set |= AUDIENCE_SAMPLING;
    if (json_is(json_find_str(sampling, "tools"), JSON_OBJECT)) set |= AUDIENCE_SAMPLING_TOOLS;
    if (json_is(elicitation, JSON_OBJECT) && has_form) set |= AUDIENCE_ELICITATION;
    if (has_url) set |= AUDIENCE_ELICITATION_URL;
    if (json_is(json_find_str(declared, "roots"), JSON_OBJECT)) set |= AUDIENCE_ROOTS;
    return set | tasks_of(declared, set);
}

uint64_t audience_id(struct mn_span name)
{
    uint8_t digest[8];

    digest_one(DIGEST_TOOL, name, digest, sizeof digest);
    return mn_load_u64(digest);
}

/* ---- extensions ---- */

static const char *const groups[] = {"extensions", "experimental"};

#define GROUPS (sizeof groups / sizeof *groups)

static bool shows_html(const struct json *settings)
{
    const struct json *types = json_find_str(settings, "mimeTypes");

    if (!json_is(types, JSON_ARRAY)) return false;
    for (const struct json *type = json_first(types); type != NULL; type = json_next(types, type))
        if (mn_span_is(json_text(type), "text/html;profile=mcp-app")) return true;
    return false;
}

static void add_extension(struct audience_client *client, const char *group, const struct json *key)
{
    const struct json *settings = json_value(key);
    size_t size = strlen(group) + 1;
    char text[AUDIENCE_TEXT_MAX];
    struct mn_span name = {(const uint8_t *)text, size + key->text.size};

    if (client->extensions_count == AUDIENCE_EXTENSIONS_MAX) return;
    if (!json_is(settings, JSON_OBJECT) || key->text.size > AUDIENCE_NAME_MAX) return;
    memcpy(text, group, size - 1);
    text[size - 1] = '/';
    if (key->text.size > 0) memcpy(text + size, key->text.data, key->text.size);
    if (mn_span_is(name, AUDIENCE_UI) && !shows_html(settings)) return;
    client->extensions[client->extensions_count++] = audience_id(name);
}

struct audience_client audience_client(const struct json *declared)
{
    struct audience_client client = {.set = audience_set(declared)};

    for (size_t i = 0; i < GROUPS; i++) {
        const struct json *group = json_find_str(declared, groups[i]);
        if (!json_is(group, JSON_OBJECT)) continue;
        for (const struct json *key = json_first(group); key != NULL; key = json_next(group, key))
            add_extension(&client, groups[i], key);
    }
    return client;
}

static bool is_in(const uint64_t *list, uint32_t count, uint64_t id)
{
    for (uint32_t i = 0; i < count; i++)
        if (list[i] == id) return true;
    return false;
}

bool audience_shows(const struct audience *audience, const struct audience_client *client)
{
    bool is_shown = audience_has(audience->table, client->set);

    for (uint32_t i = 0; i < audience->with_count; i++) {
        const struct audience_with *with = &audience->with[i];
        if (is_in(client->extensions, client->extensions_count, with->extension) &&
            audience_has(with->table, client->set) != is_shown)
            return !is_shown;
    }
    return is_shown;
}

void audience_add_relevant(struct audience_relevant *relevant, const struct audience *audience)
{
    relevant->is_any = relevant->is_any || audience->table != 0 || audience->with_count > 0;
    relevant->set |= audience_relevant(audience->table);
    for (uint32_t i = 0; i < audience->with_count; i++) {
        uint64_t id = audience->with[i].extension;
        relevant->set |= audience_relevant(audience->with[i].table);
        if (relevant->extensions_count < AUDIENCE_EXTENSIONS_MAX &&
            !is_in(relevant->extensions, relevant->extensions_count, id))
            relevant->extensions[relevant->extensions_count++] = id;
    }
}

struct audience_client audience_part(const struct audience_client *client,
                                     const struct audience_relevant *relevant)
{
    struct audience_client part = {.set = client->set & relevant->set};

    for (uint32_t i = 0; i < relevant->extensions_count; i++)
        if (is_in(client->extensions, client->extensions_count, relevant->extensions[i]))
            part.extensions[part.extensions_count++] = relevant->extensions[i];
    return part;
}

bool audience_is_equal(const struct audience_client *a, const struct audience_client *b)
{
    return a->set == b->set && a->extensions_count == b->extensions_count &&
           memcmp(a->extensions, b->extensions, a->extensions_count * sizeof *a->extensions) == 0;
}

/* ---- declaring ---- */

static void write_tasks(struct mn_writer *writer, uint32_t set)
{
    mn_writer_format(writer, "\"tasks\":{\"list\":{},\"cancel\":{},\"requests\":{%s%s%s}}",
                     (set & SAMPLING) != 0 ? "\"sampling\":{\"createMessage\":{}}" : "",
                     (set & SAMPLING) != 0 && (set & ELICITATION) != 0 ? "," : "",
                     (set & ELICITATION) != 0 ? "\"elicitation\":{\"create\":{}}" : "");
}

static bool is_of_group(const struct audience_extension *extension, const char *group)
{
    size_t size = strlen(group);

    return extension->name.size > size + 1 && extension->name.data[size] == '/' &&
           memcmp(extension->name.data, group, size) == 0;
}

/* ,"extensions":{...} */
static void write_group(struct mn_writer *writer, const char *group, const char **comma,
                        const struct audience_extension *list, uint32_t count, uint32_t chosen)
{
    size_t prefix = strlen(group) + 1;
    uint32_t written = 0;

    for (uint32_t i = 0; i < count; i++) {
        const struct audience_extension *one = &list[i];
        if ((chosen >> i & 1) == 0 || !is_of_group(one, group)) continue;
        if (written++ == 0)
            mn_writer_format(writer, "%s\"%s\":{", *comma, group);
        else
            mn_writer_str(writer, ",");
        json_write_string(writer, mn_span(one->name.data + prefix, one->name.size - prefix));
        mn_writer_str(writer, ":");
        json_write_line(writer, one->settings);
    }
    if (written == 0) return;
    mn_writer_str(writer, "}");
    *comma = ",";
}

void audience_write(struct mn_writer *writer, uint32_t set, const struct audience_extension *list,
                    uint32_t count, uint32_t chosen)
{
    const char *comma = "";

    mn_writer_str(writer, "{");
    if ((set & SAMPLING) != 0) {
        mn_writer_format(writer, "\"sampling\":{%s}",
                         (set & AUDIENCE_SAMPLING_TOOLS) != 0 ? "\"tools\":{}" : "");
        comma = ",";
    }
    if ((set & ELICITATION) != 0) {
        mn_writer_format(writer, "%s\"elicitation\":{%s%s%s}", comma,
                         (set & AUDIENCE_ELICITATION) != 0 ? "\"form\":{}" : "",
                         (set & ELICITATION) == ELICITATION ? "," : "",
                         (set & AUDIENCE_ELICITATION_URL) != 0 ? "\"url\":{}" : "");
        comma = ",";
    }
    if ((set & AUDIENCE_ROOTS) != 0) {
        mn_writer_format(writer, "%s\"roots\":{\"listChanged\":true}", comma);
        comma = ",";
    }
    if ((set & AUDIENCE_TASKS) != 0) {
        mn_writer_str(writer, comma);
        write_tasks(writer, set);
        comma = ",";
    }
    for (size_t i = 0; i < GROUPS; i++)
        write_group(writer, groups[i], &comma, list, count, chosen);
    mn_writer_str(writer, "}");
}

/* ---- tables ---- */

uint32_t audience_relevant(uint64_t audience)
{
    uint32_t relevant = 0;

    if (audience == 0 || audience == AUDIENCE_NOBODY) return 0;
    for (uint32_t set = 0; set < AUDIENCE_SETS; set++)
        for (size_t i = 0; i < COUNT; i++)
            if (audience_has(audience, set) != audience_has(audience, set ^ capabilities[i].bit))
                relevant |= capabilities[i].bit;
    return relevant;
}

uint64_t audience_infer(uint64_t asked, uint64_t shown)
{
    bool is_plain = (shown & 1) != 0;
    uint64_t audience = 0;

    if (shown == asked) return 0;
    for (uint32_t set = 0; set < AUDIENCE_SETS; set++) {
        bool is_shown = is_plain;
        for (uint32_t part = 0; part < AUDIENCE_SETS; part++)
            if ((asked >> part & 1) != 0 && (part & ~set) == 0 &&
                ((shown >> part & 1) != 0) != is_plain)
                is_shown = !is_plain;
        if ((asked >> set & 1) != 0) is_shown = (shown >> set & 1) != 0;
        if (is_shown) audience |= (uint64_t)1 << set;
    }
    if (audience == 0) return AUDIENCE_NOBODY;
    return audience == AUDIENCE_ALL ? 0 : audience;
}

/* Whether a set with fewer capabilities is as good. */
static bool has_smaller(uint64_t audience, uint32_t set)
{
    for (size_t i = 0; i < COUNT; i++)
        if ((set & capabilities[i].bit) != 0 && audience_has(audience, set & ~capabilities[i].bit))
            return true;
    return false;
}

static void describe_set(struct mn_writer *writer, uint32_t set, const char *before)
{
    bool has_tools = (set & AUDIENCE_SAMPLING_TOOLS) != 0;
    const char *plus = before;

    for (size_t i = 0; i < COUNT; i++) {
        if ((set & capabilities[i].bit) == 0) continue;
        if (has_tools && capabilities[i].bit == AUDIENCE_SAMPLING) continue; /* it is implied */
        mn_writer_format(writer, "%s%s", plus, capabilities[i].name);
        plus = "+";
    }
}

static bool is_possible(uint32_t set)
{
    if ((set & AUDIENCE_TASKS) != 0 && (set & (SAMPLING | ELICITATION)) == 0) return false;
    return (set & SAMPLING) != AUDIENCE_SAMPLING_TOOLS;
}

static void describe_table(struct mn_writer *writer, uint64_t audience)
{
    bool is_plain = audience_has(audience, 0);
    uint64_t table = is_plain ? ~audience : audience; /* of those that are not as the set 0 is */
    const char *between = "";

    for (uint32_t set = 1; set < AUDIENCE_SETS && audience != 0; set++) {
        if (!is_possible(set) || (table >> set & 1) == 0 || has_smaller(table, set)) continue;
        mn_writer_str(writer, between);
        describe_set(writer, set, is_plain ? "not " : "");
        between = is_plain ? ", " : " or ";
    }
}

/* Without the group of those that are extensions. */
static struct mn_span known_as(struct mn_span name)
{
    size_t prefix = sizeof "extensions/" - 1;

    if (name.size <= prefix || memcmp(name.data, "extensions/", prefix) != 0) return name;
    return mn_span(name.data + prefix, name.size - prefix);
}

void audience_describe(struct mn_writer *writer, const struct audience *audience)
{
    bool is_plain = audience_has(audience->table, 0);
    size_t begin = mn_writer_size(writer);

    describe_table(writer, audience->table);
    for (uint32_t i = 0; i < audience->with_count; i++) {
        const struct audience_with *with = &audience->with[i];
        struct mn_span name = known_as(with->name);
        bool is_alone = audience_has(with->table, 0) != is_plain;
        if (mn_writer_size(writer) > begin) mn_writer_str(writer, is_plain ? ", " : " or ");
        mn_writer_format(writer, "%s%.*s%s", is_plain ? "not " : "", (int)name.size,
                         (const char *)name.data, is_alone ? "" : "+");
        if (!is_alone) describe_table(writer, with->table);
    }
}
