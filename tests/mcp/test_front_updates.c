/* Updates of a resource that many have subscribed to: all are told, and no step tells many. */
#include <string.h>

#include "tests/mcp/client.h"
#include "tests/suite.h"

#define RESOURCE "{\"uri\":\"x://1\",\"name\":\"n\"}"
#define LISTEN "{\"notifications\":{\"resourceSubscriptions\":[\"x://1\"]}," MODERN_META("") "}"
#define UPDATED "\"method\":\"notifications/resources/updated\""
#define LISTENERS 60u
#define TOLD_MAX 32u /* in one step */

static uint64_t listeners[LISTENERS], feed;

static void setup(void)
{
    static const char *const resources[] = {RESOURCE, NULL};

    client_setup();
    client_service_offer(
        "a", true,
        &(struct client_offer){.resources = resources,
                               .capabilities = "{\"resources\":{\"subscribe\":true}}"});
    for (uint32_t i = 0; i < LISTENERS; i++)
        listeners[i] = client_modern("subscriptions/listen", NULL, LISTEN)->id;
    feed = client_calls[client_calls_count - 1].ticket;
    client_served(feed);
}

static uint32_t count_updates(uint64_t id)
{
    const char *at = client_response(id)->body;
    uint32_t count = 0;

    while ((at = strstr(at, UPDATED)) != NULL) {
        at += strlen(UPDATED);
        count++;
    }
    return count;
}

static uint32_t told(uint32_t times)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < LISTENERS; i++)
        count += count_updates(listeners[i]) == times;
    return count;
}

static void settle(void)
{
    while (front_deadline(client_front) <= client_now.mono)
        client_at(client_now.mono);
}

START_TEST(many_are_told_in_slices)
{
    client_updated(feed, "x://1");
    ck_assert_uint_eq(told(1), TOLD_MAX);
    client_at(client_now.mono);
    ck_assert_uint_eq(told(1), LISTENERS);
    settle();
    ck_assert_uint_eq(told(1), LISTENERS);
}
END_TEST

/* They were acknowledged before it was. */
START_TEST(many_are_told_in_slices_that_their_subscription_was_taken)
{
    client_taken(feed, "x://1");
    ck_assert_uint_eq(told(1), TOLD_MAX);
    settle();
    ck_assert_uint_eq(told(1), LISTENERS);
}
END_TEST

/* Its turn comes after both. */
START_TEST(who_is_behind_hears_of_two_updates_as_of_one)
{
    client_updated(feed, "x://1");
    client_updated(feed, "x://1");
    settle();
    ck_assert_uint_eq(told(1) + told(2), LISTENERS);
    ck_assert_uint_ge(told(1), 1);
    client_updated(feed, "x://1");
    settle();
    ck_assert_uint_eq(told(2) + told(3), LISTENERS);
}
END_TEST

START_TEST(who_goes_before_its_turn_is_not_told)
{
    client_updated(feed, "x://1");
    client_gone(listeners[LISTENERS - 1]);
    settle();
    ck_assert_uint_eq(told(1), LISTENERS - 1);
    ck_assert_uint_eq(count_updates(listeners[LISTENERS - 1]), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("front_updates");
    TCase *tcase = tcase_create("front_updates");

    client_config_reset();
    tcase_add_checked_fixture(tcase, setup, client_teardown);
    tcase_add_test(tcase, many_are_told_in_slices);
    tcase_add_test(tcase, many_are_told_in_slices_that_their_subscription_was_taken);
    tcase_add_test(tcase, who_is_behind_hears_of_two_updates_as_of_one);
    tcase_add_test(tcase, who_goes_before_its_turn_is_not_told);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
