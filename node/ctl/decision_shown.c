/* Is what is shown of a decision what its certificate proves? Names of nodes are the only words
 * that no signature stands for. */
#include <string.h>
#include <time.h>

#include "consensus/decision.h"
#include "node/ctl/ctl.h"

static bool is_number(const struct json *root, const char *path, uint64_t number)
{
    int64_t shown;

    return json_i64(ctl_find(root, path), &shown) == MN_OK && shown >= 0 &&
           (uint64_t)shown == number;
}

static bool is_id(const struct json *root, const char *path, const mn_id *id)
{
    char text[MN_ID_TEXT_SIZE];

    return mn_span_is(ctl_string(root, path), mn_id_format(id, text));
}

static bool is_time(const struct json *root, const char *path, uint64_t ms)
{
    char day[64], text[80];
    time_t seconds = (time_t)(ms / 1000);
    struct tm utc;

    if (gmtime_r(&seconds, &utc) == NULL) return false;
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text, sizeof text, "%s.%03uZ", day, (unsigned)(ms % 1000));
    return mn_span_is(ctl_string(root, path), text);
}

static bool is_outcome(const struct json *root, const struct decision_view *view)
{
    struct mn_span outcome = ctl_string(root, "outcome");

    if (view->outcome != DECISION_OPEN)
        return mn_span_is(outcome, decision_outcome_name(view->outcome));
    return !mn_span_is(outcome, "achieved") && !mn_span_is(outcome, "refused");
}

static bool is_proposal(const struct json *root, const struct decision_view *view)
{
    return is_id(root, "id", &view->id) && is_id(root, "proposer.id", &view->proposer) &&
           mn_span_equal(ctl_string(root, "topic"), view->topic) &&
           mn_span_equal(ctl_string(root, "value"), view->value) &&
           ctl_is_true(root, "byzantine") == view->is_byzantine &&
           mn_span_is(ctl_string(root, "weights"),
                      view->basis == DECISION_EQUAL ? "equal" : "metric") &&
           is_number(root, "quorum_num", view->quorum_num) &&
           is_number(root, "quorum_den", view->quorum_den) &&
           is_number(root, "total", view->total) && is_time(root, "created", view->created_ms) &&
           is_time(root, "deadline", view->deadline_ms);
}

static bool is_vote(const struct json *vote, const struct decision_ballot *ballot, bool is_agreed)
{
    if (!is_id(vote, "node.id", &ballot->node_id)) return false;
    if (!is_number(vote, "weight", ballot->weight)) return false;
    if (ballot->choice == DECISION_NONE && is_agreed) return true;
    if (!mn_span_is(ctl_string(vote, "choice"), decision_choice_name(ballot->choice))) return false;
    return ballot->choice == DECISION_NONE ||
           mn_span_is(ctl_string(vote, "cause"), decision_cause_name(ballot->cause));
}

/* What was agreed on has the votes that were agreed, and a node may know of more. */
static bool are_votes(const struct json *root, const struct decision_view *view)
{
    const struct json *votes = json_find_str(root, "votes"), *vote;
    bool is_agreed = view->is_byzantine && view->is_certified;

    if (!json_is(votes, JSON_ARRAY) || votes->count != view->ballots_count) return false;
    vote = json_first(votes);
    for (uint32_t i = 0; i < view->ballots_count; i++, vote = json_next(votes, vote))
        if (!is_vote(vote, &view->ballots[i], is_agreed)) return false;
    return is_agreed || (is_number(root, "yes", view->yes) && is_number(root, "no", view->no) &&
                         is_number(root, "abstain", view->abstain));
}

bool ctl_decision_is_as_shown(const struct json *root, const struct decision_view *view)
{
    return is_proposal(root, view) && is_outcome(root, view) && are_votes(root, view);
}
