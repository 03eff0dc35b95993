"""What `make long` runs and `make test` does not, beside what is marked so where it stands: more of the same.

Each has a sibling that runs every time: the same test with another client, store, point or seed. Names are those of
pytest, below tests/; one without brackets is all of a test. ``tests/test_held.py`` keeps the list true.
"""

from __future__ import annotations

HELD = frozenset(
    {
        "bench/test_commands.py::test_a_command_goes_to_a_tickr_that_runs_already[end_to_end]",
        "bench/test_commands.py::test_a_command_goes_to_a_tickr_that_runs_already[latency]",
        *(
            f"client/test_killed_server.py::test_each_of_thousands_is_stored_once[{way}]"
            for way in ("sqlite-trio", "sqlite-many")
        ),
        *(
            f"client/test_killed_server.py::test_events_go_on_where_they_were_when_the_server_comes_back[{face}]"
            for face in ("trio", "asyncio")
        ),
        *(
            f"client/test_waits.py::test_who_waits_outlasts_a_server_that_is_killed_and_comes_back[{face}]"
            for face in ("trio", "asyncio")
        ),
        "dashboard/test_jobs.py::test_a_thousand_jobs_page_by_page_and_a_later_page_stays",
        "dashboard/test_overview.py::test_a_chart_is_read_by_keys_and_as_a_table",
        "dashboard/test_queues.py::test_its_charts_are_of_this_queue_alone",
        "dashboard/test_queues.py::test_two_hundred_are_found_in_and_put_in_order",
        "dashboard/test_schedules.py::test_three_hundred_are_listed_and_put_in_order_by_their_next_tick",
        *(
            f"faults/test_killed_keys.py::test_the_same_request_after_a_kill_is_the_same_job[{point}]"
            for point in ("intake.after_commit", "announce.after_index", "intake.after_announce", "api.before_answer")
        ),
        *(
            f"faults/test_killed_keys.py::test_a_unique_key_is_held_by_one_job_whoever_dies[{point}]"
            for point in ("intake.before_store", "api.before_answer")
        ),
        *(
            f"faults/test_killed_keys.py::test_of_those_that_replace_each_other_one_is_left_whoever_dies[{point}]"
            for point in ("store.before_commit", "intake.after_commit")
        ),
        *(
            f"faults/test_killed_keys.py::test_the_same_request_to_two_nodes_of_which_one_dies_is_one_job[{point}]"
            for point in ("intake.before_store", "intake.after_commit", "announce.after_index", "intake.after_announce")
        ),
        *(
            f"faults/test_killed_statistics.py::test_a_batch_is_counted_once_although_its_node_dies_in_it[{way}]"
            for way in ("mysql-statistics.after_commit", "sqlite-statistics.before_commit")
        ),
        "faults/test_killed_statistics.py::test_the_sums_are_exact_although_one_of_two_nodes_is_killed[sqlite]",
        "faults/test_killed_encrypted.py::test_nothing_is_lost_and_nothing_is_readable[sqlite]",
        "faults/test_killed_inbox.py::test_each_row_is_one_job_whoever_is_killed[sqlite]",
        "faults/test_killed_inbox.py::test_rows_whose_jobs_are_there_are_the_same_jobs[mysql]",
        *(
            f"faults/test_killed_submissions.py::test_nothing_that_was_answered_is_lost_when_a_node_is_killed_at[{at}]"
            for at in (
                *("intake.before_store-stream", "intake.before_store-whole", "store.before_commit-batch"),
                *("store.before_commit-whole", "store.after_commit-stream", "store.after_commit-whole"),
                *("intake.after_commit-batch", "intake.after_commit-stream", "announce.after_index-batch"),
                *("announce.after_index-whole", "intake.after_announce-stream", "intake.after_announce-whole"),
                *("api.before_answer-batch", "api.before_answer-stream"),
            )
        ),
        *(
            f"faults/test_killed_submissions.py::test_nothing_that_was_answered_is_lost_when_a_node_is_killed[{way}]"
            for way in ("sqlite-stream", "sqlite-whole", "mysql-batch", "mysql-whole")
        ),
        "faults/test_cut_lines.py::test_a_node_survives_whatever_happens_to_its_servers_and_the_lines_to_them",
        "faults/test_hand_over.py::test_any_two_of_three_nodes_killed_again_and_again",
        "faults/test_mysql_cancellation.py::test_an_opening_that_is_cut_can_be_taken_up_again",
        "features/test_03_delayed_jobs.py"
        "::test_delayed_jobs_100_000_of_them_do_not_hold_up_an_instant_one[sqlite-heap]",
        "features/test_04_event_driven.py::test_event_driven_idle_in_real_time[memory-heap]",
        "features/test_12_durable_state.py::test_durable_state_kill_9_in_the_middle_30_of_30_succeed[sqlite+heap]",
        "features/test_12_durable_state.py::test_durable_state_kill_9_leaves_every_count_as_it_was[sqlite+heap]",
        "features/test_12_durable_state.py::test_durable_state_sigterm_in_the_middle_30_of_30_succeed[mysql+redis]",
        "features/test_12_durable_state.py::test_durable_state_killed_again_and_again_while_jobs_come_in[sqlite+heap]",
        "features/test_16_functions.py::test_of_two_codes_beside_each_other_the_newer_one_is_asked",
        "features/test_16_functions.py"
        "::test_without_a_node_that_has_it_the_others_go_on_as_far_as_it_is_known_and_say_so",
        "features/test_16_results.py::test_results_thousands_wait_at_one_node_for_jobs_of_another",
        "features/test_16_schedules.py"
        "::test_two_nodes_make_one_job_for_each_tick_and_obey_each_others_changes[sqlite-heap]",
        "features/test_ended.py::test_a_payment_is_made_once_whenever_the_node_dies[sqlite]",
        *(
            f"simulation/test_keys.py::test_a_key_is_one_job_whatever_strikes[{seed}]"
            for seed in (0, 50, 100, 150, 250)
        ),
        *(f"simulation/test_seeds.py::test_no_promise_is_broken[{seed}]" for seed in (50, 150, 250, 350, 400, 450)),
        *(
            f"store/test_contract_cuts.py::test_a_cut_at_any_checkpoint_is_as_if_it_were_not_or_were_done[{cuts}]"
            for cuts in ("mysql-operations", "mysql-sequences")
        ),
        "store/test_model.py::test_the_memory_store_does_what_the_model_says_for_long",
        "test_scaled_processes.py::test_a_process_that_is_killed_on_its_way_out_gives_its_jobs_back_by_its_lease",
        "test_scaled_processes.py::test_who_is_connected_to_one_that_leaves_is_told_and_goes_on_elsewhere",
    }
)
