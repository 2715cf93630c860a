#include "node/core/policy.h"

#include <math.h>
#include <string.h>

#define NUMBER_MAX 32u /* characters */

/* ---- words ---- */

/* The next one; empty at the end. */
static struct mn_span policy_word(struct mn_span *rest)
{
    size_t skip = 0, size = 0;
    struct mn_span word;

    while (skip < rest->size && (rest->data[skip] == ' ' || rest->data[skip] == '\t'))
        skip++;
    *rest = mn_span(rest->data + skip, rest->size - skip);
    while (size < rest->size && rest->data[size] != ' ' && rest->data[size] != '\t')
        size++;
    word = mn_span(rest->data, size);
    *rest = mn_span(rest->data + size, rest->size - size);
    return word;
}

/* Digits with at most one point and a sign: no locale, nothing a reader would wonder about. */
static bool policy_number(struct mn_span text, double *ret)
{
    bool is_negative = text.size > 0 && text.data[0] == '-';
    double number = 0, unit = 1;
    bool has_point = false, has_digit = false;

    if (text.size == 0 || text.size > NUMBER_MAX) return false;
    for (size_t i = is_negative; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c == '.' && !has_point) {
            has_point = true;
        } else if (c >= '0' && c <= '9') {
            has_digit = true;
            number = 10 * number + (c - '0');
            if (has_point) unit *= 10;
        } else {
            return false;
        }
    }
    *ret = (is_negative ? -number : number) / unit;
    return has_digit;
}

static enum decision_choice policy_choice(struct mn_span word)
{
    if (mn_span_is(word, "yes")) return DECISION_YES;
    if (mn_span_is(word, "no")) return DECISION_NO;
    return mn_span_is(word, "abstain") ? DECISION_ABSTAIN : DECISION_NONE;
}

static enum policy_operator policy_operator(struct mn_span word)
{
    static const char *const names[] = {"", "<", "<=", ">", ">=", "=", "!="};

    for (uint32_t i = POLICY_LT; i <= POLICY_NE; i++)
        if (mn_span_is(word, names[i])) return (enum policy_operator)i;
    return (enum policy_operator)0;
}

/* ---- reading ---- */

/* METRIC OPERATOR NUMBER; NULL, or what is wrong. */
static const char *policy_read_condition(struct mn_span *rest, struct policy_condition *ret)
{
    struct mn_span word = policy_word(rest);

    ret->metric = metric_find(word);
    if (ret->metric == METRIC_COUNT && !mn_span_is(word, "value"))
        return "a condition begins with value or a metric: load, failures, links, nodes, rtt_ms, "
               "uptime_s";
    ret->compare = policy_operator(policy_word(rest));
    if (ret->compare == 0) return "after a metric comes <, <=, >, >=, = or !=";
    if (!policy_number(policy_word(rest), &ret->number))
        return "a condition ends with a number such as 0.01";
    return NULL;
}

static const char *policy_read_conditions(struct mn_span *rest, struct policy_rule *ret,
                                          struct mn_span *ret_next)
{
    const char *why;

    do {
        if (ret->conditions_count == POLICY_CONDITIONS_MAX) return "more than 8 conditions";
        why = policy_read_condition(rest, &ret->conditions[ret->conditions_count++]);
        if (why != NULL) return why;
        *ret_next = policy_word(rest);
    } while (mn_span_is(*ret_next, "and"));
    return NULL;
}

static const char *policy_read(struct mn_span rest, struct policy_rule *ret)
{
    struct mn_span word;
    const char *why;

    ret->topic = policy_word(&rest);
    if (ret->topic.size == 0) return "a rule begins with a topic, such as deploy/*";
    word = policy_word(&rest);
    if (mn_span_is(word, "is")) {
        ret->value = policy_word(&rest);
        if (ret->value.size == 0) return "after `is` comes a value, such as v2*";
        word = policy_word(&rest);
    }
    ret->then = policy_choice(word);
    if (ret->then == DECISION_NONE) return "after the topic comes yes, no or abstain";
    word = policy_word(&rest);
    if (mn_span_is(word, "if")) {
        why = policy_read_conditions(&rest, ret, &word);
        if (why != NULL) return why;
        if (mn_span_is(word, "else")) {
            ret->otherwise = policy_choice(policy_word(&rest));
            if (ret->otherwise == DECISION_NONE) return "after `else` comes yes, no or abstain";
            word = policy_word(&rest);
        }
    }
    return word.size == 0 ? NULL : "what follows the rule is not part of one";
}

mn_status policy_parse(struct mn_span text, struct policy_rule *ret, const char **ret_why)
{
    struct policy_rule rule = {.text = text};
    const char *why = text.size > POLICY_RULE_MAX ? "longer than 512 bytes" : NULL;

    if (why == NULL) why = policy_read(text, &rule);
    if (why != NULL) {
        *ret_why = why;
        return MN_CONFIG;
    }
    *ret = rule;
    return MN_OK;
}

/* ---- voting ---- */

/* Each * for any bytes. Goes back to the last * only, which suffices. */
static bool policy_fits(struct mn_span pattern, struct mn_span text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, from = 0;

    while (t < text.size) {
        if (p < pattern.size && pattern.data[p] == '*') {
            star = p++;
            from = t;
        } else if (p < pattern.size && pattern.data[p] == text.data[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++from;
        } else {
            return false;
        }
    }
    while (p < pattern.size && pattern.data[p] == '*')
        p++;
    return p == pattern.size;
}

static bool policy_compare(double a, enum policy_operator compare, double b)
{
    switch (compare) {
    case POLICY_LT: return a < b;
    case POLICY_LE: return a <= b;
    case POLICY_GT: return a > b;
    case POLICY_GE: return a >= b;
    case POLICY_EQ: return !(a < b) && !(a > b);
    case POLICY_NE: return a < b || a > b;
    }
    return false;
}

bool policy_holds(const struct policy_rule *rule, struct mn_span value,
                  const struct metrics *metrics, bool *ret_is_known)
{
    bool holds = true;

    *ret_is_known = true;
    for (uint32_t i = 0; i < rule->conditions_count; i++) {
        const struct policy_condition *condition = &rule->conditions[i];
        double number = (double)NAN;
        if (condition->metric != METRIC_COUNT)
            number = metrics->values[condition->metric];
        else if (!policy_number(value, &number))
            number = (double)NAN;
        if (isnan(number))
            *ret_is_known = false;
        else if (!policy_compare(number, condition->compare, condition->number))
            holds = false;
    }
    return holds;
}

enum decision_choice policy_vote(const struct policy_rule *rules, uint32_t count,
                                 struct mn_span topic, struct mn_span value,
                                 const struct metrics *metrics)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct policy_rule *rule = &rules[i];
        bool is_known, holds;
        if (!policy_fits(rule->topic, topic)) continue;
        if (rule->value.size > 0 && !policy_fits(rule->value, value)) continue;
        holds = policy_holds(rule, value, metrics, &is_known);
        if (!is_known) return DECISION_NONE;
        return holds ? rule->then : rule->otherwise;
    }
    return DECISION_NONE;
}
