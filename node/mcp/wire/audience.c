#include "node/mcp/wire/audience.h"

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

static void write_tasks(struct mn_writer *writer, uint32_t set)
{
    mn_writer_format(writer, "\"tasks\":{\"list\":{},\"cancel\":{},\"requests\":{%s%s%s}}",
                     (set & SAMPLING) != 0 ? "\"sampling\":{\"createMessage\":{}}" : "",
                     (set & SAMPLING) != 0 && (set & ELICITATION) != 0 ? "," : "",
                     (set & ELICITATION) != 0 ? "\"elicitation\":{\"create\":{}}" : "");
}

void audience_write(struct mn_writer *writer, uint32_t set)
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
    }
    mn_writer_str(writer, "}");
}

uint32_t audience_relevant(uint64_t audience)
{
    uint32_t relevant = 0;

    if (audience == 0) return 0;
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

void audience_describe(struct mn_writer *writer, uint64_t audience)
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
