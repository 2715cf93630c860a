/* The HTTP server, over real sockets: what comes in and what goes out. */
#include <check.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "tests/io/http_side.h"
#include "tests/suite.h"

START_TEST(request_comes_with_head_and_body)
{
    struct client client;
    world.handle = http_side_echo;
    client_connect(&client, address);
    client_send(&world, &client, POST_HEAD "Content-Length: 5\r\n\r\nhello");
    client_expect(&world, &client, "\r\n\r\nhello", 1);
    ck_assert_ptr_nonnull(strstr(client.text, "HTTP/1.1 200 OK\r\n"));
    ck_assert_ptr_nonnull(strstr(client.text, "content-type: text/plain\r\n"));
    ck_assert_ptr_nonnull(strstr(client.text, "Content-Length: 5\r\n"));

    const struct edge_http_request *request = http_side_last(EDGE_IN_HTTP_OPEN)->http;
    ck_assert_uint_eq(http_side_last(EDGE_IN_HTTP_OPEN)->id % 2, 1);
    ck_assert(mn_span_is(request->method, "POST"));
    ck_assert(mn_span_is(request->target, "/mcp?a=%20b"));
    ck_assert(mn_span_is(request->address, "127.0.0.1"));
    ck_assert(request->is_loopback);
    ck_assert_int_eq(request->listener, EDGE_LISTENER_HTTP);
    ck_assert_uint_eq(request->headers_count, 3);
    ck_assert(mn_span_is(request->headers[1].name, "x-some-name"));
    ck_assert(mn_span_is(request->headers[1].value, "Some Value"));
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_BODY, 0), 1);
    client_done(&client);
}
END_TEST

START_TEST(connection_is_kept_and_ids_are_not_reused)
{
    struct client client;
    world.handle = http_side_echo;
    client_connect(&client, address);
    for (uint32_t i = 1; i <= 5; i++) {
        client_send(&world, &client, POST_HEAD "Content-Length: 2\r\n\r\nab");
        client_expect(&world, &client, "\r\n\r\nab", i);
    }
    for (uint32_t i = 1; i < 5; i++)
        ck_assert_uint_lt(world_find(&world, EDGE_IN_HTTP_OPEN, 0, i)->id,
                          world_find(&world, EDGE_IN_HTTP_OPEN, 0, i + 1)->id);
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_GONE, 0), 0);
    client_done(&client);
}
END_TEST

START_TEST(pipelined_requests_are_answered_in_order)
{
    struct client client;
    world.handle = http_side_echo;
    client_connect(&client, address);
    client_send(&world, &client,
                POST_HEAD "Content-Length: 3\r\n\r\none" GET POST_HEAD
                          "Content-Length: 3\r\n\r\ntwo" POST_HEAD
                          "Transfer-Encoding: chunked\r\n\r\n2\r\nth\r\n3\r\nree\r\n0\r\n\r\n");
    client_expect(&world, &client, "\r\n\r\nthree", 1);
    ck_assert_uint_eq(client_times(&client, "HTTP/1.1 200 OK"), 4);
    ck_assert(strstr(client.text, "one") < strstr(client.text, "two"));
    ck_assert(strstr(client.text, "two") < strstr(client.text, "three"));
    ck_assert_ptr_null(strstr(client.text, "Connection: close"));
    client_done(&client);
}
END_TEST

/* The machine answers a while after the request, out of another turn. */
START_TEST(late_answers_find_their_clients)
{
    struct client clients[8];
    for (uint32_t i = 0; i < 8; i++) {
        client_connect(&clients[i], address);
        client_send(&world, &clients[i], POST_HEAD "Content-Length: 1\r\n\r\n");
        client_send(&world, &clients[i], (char[]){(char)('a' + i), '\0'});
        world_wait(&world, EDGE_IN_HTTP_BODY, 0, i + 1);
    }
    world_idle(&world, 150); /* long enough for the clients to be watched */
    for (uint32_t i = 8; i-- > 0;) {
        const struct edge_input *body = world_find(&world, EDGE_IN_HTTP_BODY, 0, i + 1);
        char text[] = {'<', (char)body->bytes.data[0], '>', '\0'};
        world_http_answer(&world, body->id, 200, text);
    }
    for (uint32_t i = 0; i < 8; i++) {
        char text[] = {'<', (char)('a' + i), '>', '\0'};
        client_expect(&world, &clients[i], text, 1);
        client_send(&world, &clients[i], GET); /* and goes on */
    }
    world_wait(&world, EDGE_IN_HTTP_OPEN, 0, 16);
    for (uint32_t i = 0; i < 8; i++)
        client_done(&clients[i]);
}
END_TEST

START_TEST(request_without_body_still_ends)
{
    struct client client;
    client_connect(&client, address);
    client_send(&world, &client, GET);
    const struct edge_input *body = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1);
    ck_assert(body->is_last);
    ck_assert_uint_eq(body->bytes.size, 0);
    client_done(&client);
}
END_TEST

START_TEST(large_body_comes_in_parts_and_whole)
{
    enum { SIZE = 3 * 1024 * 1024 };
    struct client client;
    char *bytes = malloc(SIZE + 1);
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (char)('a' + i % 23);
    bytes[SIZE] = '\0';
    client_connect(&client, address);
    client_send(&world, &client, POST_HEAD "Content-Length: 3145728\r\n\r\n");
    client_send_bytes(&world, &client, bytes, SIZE);
    uint64_t id = world_wait(&world, EDGE_IN_HTTP_OPEN, 0, 1)->id;
    while (!http_side_last(EDGE_IN_HTTP_BODY)->is_last)
        world_wait(&world, EDGE_IN_HTTP_BODY, 0, world_count(&world, EDGE_IN_HTTP_BODY, 0) + 1);
    ck_assert_str_eq(world_text(&world, EDGE_IN_HTTP_BODY, id, 0), bytes);
    ck_assert_uint_gt(world_count(&world, EDGE_IN_HTTP_BODY, 0), 1);
    free(bytes);
    client_done(&client);
}
END_TEST

START_TEST(stream_goes_out_as_it_comes)
{
    struct client client;
    client_connect(&client, address);
    client_send(&world, &client, GET);
    uint64_t id = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1)->id;
    world_http_head(&world, id, 200, "text/event-stream", true);
    client_expect(&world, &client, "text/event-stream\r\n", 1);
    client_expect(&world, &client, "\r\n\r\n", 1); /* the head is there before any event */
    for (uint32_t i = 1; i <= 3; i++) {
        world_do_buf(&world, EDGE_OUT_HTTP_BODY, id, "data: event\n\n", false);
        client_expect(&world, &client, "data: event\n\n", i);
    }
    world_do_buf(&world, EDGE_OUT_HTTP_BODY, id, NULL, true);
    client_expect(&world, &client, "\r\n0\r\n\r\n", 1);
    client_send(&world, &client, GET); /* the connection is kept */
    world_wait(&world, EDGE_IN_HTTP_OPEN, 0, 2);
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_GONE, 0), 0);
    client_done(&client);
}
END_TEST

START_TEST(parts_without_stream_get_a_length)
{
    struct client client;
    client_connect(&client, address);
    client_send(&world, &client, GET);
    uint64_t id = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1)->id;
    world_http_head(&world, id, 404, "text/plain", false);
    world_do_buf(&world, EDGE_OUT_HTTP_BODY, id, "not ", false);
    world_do_buf(&world, EDGE_OUT_HTTP_BODY, id, "here", true);
    client_expect(&world, &client, "\r\n\r\nnot here", 1);
    ck_assert_ptr_nonnull(strstr(client.text, "HTTP/1.1 404 Not Found\r\n"));
    ck_assert_ptr_nonnull(strstr(client.text, "Content-Length: 8\r\n"));
    client_done(&client);
}
END_TEST

START_TEST(empty_answer_is_one)
{
    struct client client;
    client_connect(&client, address);
    client_send(&world, &client, GET);
    uint64_t id = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1)->id;
    world_do(&world, &(struct edge_output){.type = EDGE_OUT_HTTP_HEAD, .id = id, .code = 202});
    world_do_buf(&world, EDGE_OUT_HTTP_BODY, id, NULL, true);
    client_expect(&world, &client, "HTTP/1.1 202 Accepted\r\n", 1);
    client_expect(&world, &client, "Content-Length: 0\r\n", 1);
    client_done(&client);
}
END_TEST

START_TEST(a_request_may_come_byte_by_byte)
{
    static const char request[] =
        POST_HEAD "Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\nT: t\r\n\r\n";
    struct client client;
    world.handle = http_side_echo;
    client_connect(&client, address);
    for (size_t i = 0; i + 1 < sizeof request; i++) {
        client_send_bytes(&world, &client, request + i, 1);
        world_idle(&world, 1);
    }
    client_expect(&world, &client, "\r\n\r\nabc", 1);
    client_send(&world, &client, GET);
    client_expect(&world, &client, "HTTP/1.1 200 OK", 2);
    client_done(&client);
}
END_TEST

/* More than is read at once comes while the first answer is awaited. */
START_TEST(a_long_pipeline_waits_outside)
{
    enum { COUNT = 4, SIZE = 20000 };
    struct client client;
    char *body = malloc(SIZE + 1);
    memset(body, 'p', SIZE);
    body[SIZE] = '\0';
    client_connect(&client, address);
    client_send(&world, &client, GET);
    uint64_t id = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1)->id;
    world.handle = http_side_echo;
    for (int i = 0; i < COUNT; i++) {
        client_send(&world, &client, POST_HEAD "Content-Length: 20000\r\n\r\n");
        client_send_bytes(&world, &client, body, SIZE);
    }
    world_idle(&world, 50);
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_OPEN, 0), 1);
    world_http_answer(&world, id, 200, "first");
    client_expect(&world, &client, "HTTP/1.1 200 OK", COUNT + 1);
    client_expect(&world, &client, body, COUNT);
    free(body);
    client_done(&client);
}
END_TEST

START_TEST(old_clients_get_what_they_know)
{
    struct client client;
    world.handle = http_side_echo;
    client_connect(&client, address);
    client_send(&world, &client, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    client_expect(&world, &client, "Connection: Keep-Alive\r\n", 1);
    world.handle = NULL;
    client_send(&world, &client, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    uint64_t id = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 2)->id;
    world_http_head(&world, id, 200, "text/plain", true);
    world_do_buf(&world, EDGE_OUT_HTTP_BODY, id, "no chunk", false);
    client_expect(&world, &client, "\r\n\r\nno chunk", 1);
    world_do_buf(&world, EDGE_OUT_HTTP_BODY, id, "s", true);
    client_expect_closed(&world, &client); /* which is the end of the body */
    ck_assert_uint_eq(client_times(&client, "\r\n\r\nno chunks"), 1);
    ck_assert_ptr_null(strstr(client.text, "chunked"));
    client_done(&client);
}
END_TEST

START_TEST(head_has_the_length_but_no_body)
{
    struct client client;
    client_connect(&client, address);
    client_send(&world, &client, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    uint64_t id = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1)->id;
    world_http_answer(&world, id, 200, "never sent");
    client_expect(&world, &client, "Content-Length: 10\r\n", 1);
    world.handle = http_side_echo;
    client_send(&world, &client, GET);
    client_expect(&world, &client, "HTTP/1.1 200 OK", 2);
    ck_assert_ptr_null(strstr(client.text, "never sent"));
    client_done(&client);
}
END_TEST

START_TEST(who_expects_to_continue_is_told_so)
{
    struct client client;
    world.handle = http_side_echo;
    client_connect(&client, address);
    client_send(&world, &client, POST_HEAD "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    client_expect(&world, &client, "HTTP/1.1 100 Continue\r\n\r\n", 1);
    client_send(&world, &client, "yes");
    client_expect(&world, &client, "\r\n\r\nyes", 1);
    client_done(&client);
}
END_TEST

START_TEST(who_sends_no_more_still_gets_an_answer)
{
    struct client client;
    client_connect(&client, address);
    client_send(&world, &client, GET);
    shutdown(client.fd, SHUT_WR);
    uint64_t id = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1)->id;
    world_idle(&world, 20);
    world_http_answer(&world, id, 200, "here");
    client_expect(&world, &client, "\r\n\r\nhere", 1);
    client_expect_closed(&world, &client);
    client_done(&client);
}
END_TEST

START_TEST(the_connection_ends_when_the_client_says_so)
{
    struct client client;
    world.handle = http_side_echo;
    client_connect(&client, address);
    client_send(&world, &client, "GET / HTTP/1.1\r\nHost: x\r\nConnection: x, Close\r\n\r\n" GET);
    client_expect(&world, &client, "Connection: close\r\n", 1);
    client_expect_closed(&world, &client);
    ck_assert_uint_eq(client_times(&client, "HTTP/1.1 200 OK"), 1);
    client_done(&client);
}
END_TEST

START_TEST(listening_fails_with_a_reason)
{
    char bound[HTTP_ADDRESS_SIZE];
    const char *error = NULL;
    ck_assert_int_eq(http_listen(http, address, bound, &error), MN_IO);
    ck_assert_str_eq(error, "address already in use");
    ck_assert_int_eq(http_listen(http, "no port", bound, &error), MN_CONFIG);
    ck_assert_int_eq(http_listen(http, "300.0.0.1:1", bound, &error), MN_IO);
    ck_assert_int_eq(http_listen_admin(http, "/no/such/folder/sock", -1, &error), MN_IO);
    ck_assert_str_eq(error, "no such file or directory");
}
END_TEST

START_TEST(closing_with_everything_under_way_leaks_nothing)
{
    struct client clients[4];
    for (int i = 0; i < 4; i++)
        client_connect(&clients[i], address);
    client_send(&world, &clients[0], "GET / HT");
    client_send(&world, &clients[1], POST_HEAD "Content-Length: 9\r\n\r\nx");
    client_send(&world, &clients[2], GET);
    client_send(&world, &clients[3], GET);
    world_wait(&world, EDGE_IN_HTTP_OPEN, 0, 3);
    world_wait(&world, EDGE_IN_HTTP_BODY, 0, 3);
    uint64_t id = http_side_last(EDGE_IN_HTTP_BODY)->id;
    world_http_head(&world, id, 200, "text/plain", true);
    for (int i = 0; i < 100; i++)
        world_do_bytes(&world, EDGE_OUT_HTTP_BODY, id, 100000, false);
    world_idle(&world, 150);
    http_side_tear_down();
    http_side_set_up();
    for (int i = 0; i < 4; i++)
        client_done(&clients[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http");
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, http_side_set_up, http_side_tear_down);
    tcase_set_timeout(all, 60);
    tcase_add_test(all, request_comes_with_head_and_body);
    tcase_add_test(all, connection_is_kept_and_ids_are_not_reused);
    tcase_add_test(all, pipelined_requests_are_answered_in_order);
    tcase_add_test(all, late_answers_find_their_clients);
    tcase_add_test(all, request_without_body_still_ends);
    tcase_add_test(all, large_body_comes_in_parts_and_whole);
    tcase_add_test(all, stream_goes_out_as_it_comes);
    tcase_add_test(all, parts_without_stream_get_a_length);
    tcase_add_test(all, empty_answer_is_one);
    tcase_add_test(all, a_request_may_come_byte_by_byte);
    tcase_add_test(all, a_long_pipeline_waits_outside);
    tcase_add_test(all, old_clients_get_what_they_know);
    tcase_add_test(all, head_has_the_length_but_no_body);
    tcase_add_test(all, who_expects_to_continue_is_told_so);
    tcase_add_test(all, who_sends_no_more_still_gets_an_answer);
    tcase_add_test(all, the_connection_ends_when_the_client_says_so);
    tcase_add_test(all, listening_fails_with_a_reason);
    tcase_add_test(all, closing_with_everything_under_way_leaks_nothing);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
