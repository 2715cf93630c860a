/* consensus: the metadata group: who votes, who leads, what is missing. */
#include <string.h>

#include "node/ctl/ctl.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct ctl_column status_columns[] = {
    {"NODE", "node", CTL_AS_TEXT, false},
    {"ROLE", "role", CTL_AS_TEXT, false},
    {"WEIGHT", "weight", CTL_AS_TEXT, false},
    {"TERM", "term", CTL_AS_TEXT, false},
    {"COMMIT", "commit", CTL_AS_TEXT, false},
    {"LAG", "lag", CTL_AS_TEXT, false},
    {"LAST-SEEN", "last_seen_ms", CTL_AS_AGE, false},
    {"VERSION", "version", CTL_AS_TEXT, false},
    {"STATUS", "status", CTL_AS_STATE, true},
    {"ID", "id", CTL_AS_ID, true},
};

/* Exit 7 without a quorum, after the table: scripts see it too. */
static int status_once(struct ctl *ctl)
{
    const struct json *root;
    int status = ctl_get(ctl, "/v1/consensus", &root);

    if (status != CTL_OK) return status;
    status = ctl_print_list(ctl, root, status_columns, COUNT(status_columns));
    if (status != CTL_OK) return status;
    if (!ctl_wants_json(ctl) && !ctl->is_quiet)
        fprintf(ctl->out, "%s\n", ctl_show(ctl, root, "diagnosis"));
    return ctl_is_true(root, "quorum") ? CTL_OK : CTL_TIMEOUT;
}

int ctl_consensus_status(struct ctl *ctl)
{
    return ctl_watch(ctl, status_once);
}

static const struct ctl_column weight_columns[] = {
    {"NODE", "node", CTL_AS_TEXT, false},
    {"ROLE", "role", CTL_AS_TEXT, false},
    {"WEIGHT", "weight", CTL_AS_TEXT, false},
    {"SHARE-%", "share_percent", CTL_AS_TEXT, false},
    {"WANTED", "wanted_weight", CTL_AS_TEXT, false},
    {"SAYS", "said_weight", CTL_AS_TEXT, false},
    {"ADVISED", "advised_weight", CTL_AS_TEXT, false},
    {"ACK", "ack_ms", CTL_AS_MS, false},
    {"ID", "id", CTL_AS_ID, true},
};

static const struct ctl_column voter_columns[] = {
    {"NODE", "node", CTL_AS_TEXT, false},      {"ROLE", "role", CTL_AS_TEXT, false},
    {"WEIGHT", "weight", CTL_AS_TEXT, false},  {"WANTED", "wanted_role", CTL_AS_TEXT, false},
    {"SAYS", "said_role", CTL_AS_TEXT, false}, {"REGION", "region", CTL_AS_TEXT, false},
    {"STATUS", "status", CTL_AS_STATE, false}, {"ID", "id", CTL_AS_ID, true},
};

/* Exit 7 without a quorum: what is wanted is then only what this node has heard. */
static int print_nodes(struct ctl *ctl, const struct ctl_column *columns, size_t count,
                       const struct json **ret)
{
    int status = ctl_get(ctl, "/v1/consensus/nodes", ret);

    if (status == CTL_OK) status = ctl_print_list(ctl, *ret, columns, count);
    if (status != CTL_OK) return status;
    return ctl_is_true(*ret, "quorum") ? CTL_OK : CTL_TIMEOUT;
}

static int weights_once(struct ctl *ctl)
{
    const struct json *root;
    int status = print_nodes(ctl, weight_columns, COUNT(weight_columns), &root);

    if (status != CTL_OK || ctl_wants_json(ctl) || ctl->is_quiet) return status;
    fprintf(ctl->out,
            "advisor: %s; its weights would commit in %.0f %% less time than those in effect\n",
            ctl_is_true(root, "advisor") ? "on" : "off", ctl_number(root, "gain_percent"));
    return CTL_OK;
}

int ctl_consensus_weights(struct ctl *ctl)
{
    return ctl_watch(ctl, weights_once);
}

static int voters_once(struct ctl *ctl)
{
    const struct json *root;
    return print_nodes(ctl, voter_columns, COUNT(voter_columns), &root);
}

int ctl_consensus_voters(struct ctl *ctl)
{
    return ctl_watch(ctl, voters_once);
}

int ctl_consensus_weights_auto(struct ctl *ctl)
{
    bool is_on = strcmp(ctl->args[0], "on") == 0;
    const struct json *root;
    int status;

    if (!is_on && strcmp(ctl->args[0], "off") != 0)
        return ctl_error(ctl, CTL_USAGE, "usage", "meshctl consensus weights auto on",
                         "%s: on or off", ctl->args[0]);
    status = ctl_do(ctl, "PUT", "/v1/consensus/advisor",
                    mn_span_str(is_on ? "{\"on\":true}" : "{\"on\":false}"), &root);
    if (status != CTL_OK) return status;
    return ctl_print_done(ctl, root, "the advisor is %s", ctl->args[0]);
}

static int wish(struct ctl *ctl, const char *json, const char *what)
{
    const char *path = ctl_path(ctl, "/v1/consensus/nodes/", ctl->args[0], "");
    const struct json *root;
    int status = ctl_do(ctl, "PUT", path, mn_span_str(json), &root);

    if (status != CTL_OK) return status;
    return ctl_print_done(ctl, root, "%s: %s; the leader makes it so as soon as it is safe",
                          ctl->args[0], what);
}

int ctl_consensus_weights_set(struct ctl *ctl)
{
    uint64_t weight;

    if (!ctl_parse_number(ctl->args[1], 0, 1000, &weight))
        return ctl_error(ctl, CTL_USAGE, "usage", "meshctl consensus weights set NODE 2",
                         "%s: a weight from 1 to 1000; 0: what the node says", ctl->args[1]);
    return wish(ctl, mn_arena_format(&ctl->arena, "{\"weight\":%llu}", (unsigned long long)weight),
                "its weight is written down");
}

int ctl_consensus_voters_add(struct ctl *ctl)
{
    return wish(ctl, "{\"role\":\"voter\"}", "preferred as a voter");
}

int ctl_consensus_voters_rm(struct ctl *ctl)
{
    return wish(ctl, "{\"role\":\"learner\"}", "shall not vote");
}

int ctl_consensus_voters_auto(struct ctl *ctl)
{
    return wish(ctl, "{\"role\":null}", "is what it says itself");
}

int ctl_consensus_transfer(struct ctl *ctl)
{
    const char *path = ctl_path(ctl, "/v1/consensus/transfer/", ctl->args[0], "");
    const struct json *root;
    int status = ctl_do(ctl, "POST", path, mn_span(NULL, 0), &root);

    if (status != CTL_OK) return status;
    return ctl_print_done(ctl, root, "%s is asked to lead", ctl->args[0]);
}
