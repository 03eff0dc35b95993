"""Every call stands in the application's list of routes, with what its caller needs."""

from __future__ import annotations

from tests.api.site import Site
from tickr.scopes import Scope


async def test_every_rule_is_a_route_but_for_the_files_of_the_dashboard(site: Site) -> None:
    rules = {rule.endpoint for rule in site.app.url_map.iter_rules() if not rule.rule.startswith("/ui")}
    assert rules == set(site.app.routes)


async def test_whoever_changes_something_needs_a_scope_that_no_reader_has(site: Site) -> None:
    reading = {None, Scope.JOBS_READ, Scope.EVENTS_READ, Scope.METRICS_READ}
    for route in site.app.routes.values():
        assert route.method == "GET" or route.scope not in reading, route
