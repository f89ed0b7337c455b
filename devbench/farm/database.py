"""A farm's database: connections with one-line errors, the schema, and the roles. Does not depend on jobs or phones.

The address is the URL of a PostgreSQL database, as for a results store. Parameters after `?`, such as `sslmode`, are
passed to libpq.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from devbench.errors import EnvironmentProblem, InputError, install_hint
from devbench.host.masking import is_clear, mask_url, scrub, secrets_of

URL_VARIABLE = "DEVBENCH_FARM"
# SQL that upgrades the tables from version 1 to 2, from 2 to 3, …; an empty text if only functions or views changed.
_UPGRADES: tuple[str, ...] = ()
# The version of tables, functions and views. The farm refuses a worker with another version.
SCHEMA = 1 + len(_UPGRADES)
_CONNECT_S = 5
_STATEMENT_S = 30
_LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_EXAMPLE = "for example postgresql://lab1@db.example/devbench?sslmode=verify-full"
ROLES = ("submitter", "host", "keeper", "admin")
# Errors that the functions raise; see functions.sql.
NOT_CURRENT, OTHER_SCHEMA, OTHER_WORKER = "DB001", "DB002", "DB003"


class FarmProblem(EnvironmentProblem):
    """The farm's database cannot be reached or refuses a request.

    Attributes:
        sqlstate: PostgreSQL's error code; empty if the server was not reached.
        transient: whether a retry may help.
    """

    def __init__(self, what: str, *, hint: str = "", sqlstate: str = "", transient: bool = False) -> None:
        super().__init__(what, hint=hint)
        self.sqlstate = sqlstate
        self.transient = transient


def farm_url(given: str | None) -> str:
    """Return the farm's address: the given one, or the one in the environment variable.

    Raises:
        InputError: there is no address, or it is not the URL of a PostgreSQL database.
    """
    url = given or os.environ.get(URL_VARIABLE, "")
    if not url:
        raise InputError("no farm is named", hint=f"give --url, or set {URL_VARIABLE}; {_EXAMPLE}")
    scheme, _, rest = url.partition("://")
    if scheme not in ("postgresql", "postgres", "postgresql+psycopg") or not rest or not is_clear(url):
        raise InputError(f"{mask_url(url)!r} is not the URL of a farm", hint=f"a farm is in PostgreSQL; {_EXAMPLE}")
    return f"postgresql://{rest}"


def store_url(url: str) -> str:
    """Return the address of the results store in the farm's database, for SQLAlchemy."""
    return f"postgresql+psycopg://{url.partition('://')[2]}"


class Farm:
    """A connection to a farm; a context manager. Each statement is a separate transaction.

    Raises:
        FarmProblem: the server cannot be reached, or the user cannot log in.
    """

    def __init__(self, url: str) -> None:
        try:
            import psycopg
        except ModuleNotFoundError:
            raise InputError("a farm needs the Python package psycopg", hint=install_hint("farm")) from None
        self.url = url
        self.shown = mask_url(url)
        self._secrets = secrets_of(url)
        self._errors = psycopg.Error
        self._lost = (psycopg.OperationalError, psycopg.InterfaceError)
        options = f"-c search_path=farm,public -c statement_timeout={_STATEMENT_S}s"
        with self._explained():
            self.connection: psycopg.Connection[tuple[Any, ...]] = psycopg.connect(
                url, autocommit=True, connect_timeout=_CONNECT_S, options=options, application_name="devbench farm",
                keepalives_idle=5, keepalives_interval=2, keepalives_count=3, tcp_user_timeout=10_000,
            )  # fmt: skip

    def __enter__(self) -> Farm:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def rows(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Execute a statement and return its rows as dicts by column name.

        Raises:
            FarmProblem: the server refuses the statement, or the connection is lost.
        """
        with self._explained():
            cursor = self.connection.execute(statement, values or None)
            names = [one.name for one in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor] if names else []

    def call(self, function: str, *values: Any) -> Any:
        """Call an SQL function of the schema `farm` and return its result.

        Raises:
            FarmProblem: the server refuses the call, or the connection is lost.
        """
        marks = ", ".join(["%s"] * len(values))
        return next(iter(self.rows(f"SELECT farm.{function}({marks}) AS value", *values)))["value"]

    def wait(self, seconds: float) -> None:
        """Wait for at most `seconds` for a notification on a channel that this connection listens to.

        Raises:
            FarmProblem: the connection is lost.
        """
        with self._explained():
            list(self.connection.notifies(timeout=seconds, stop_after=1))

    def check_schema(self) -> None:
        """Make sure that the database is a farm whose schema has this devbench's version.

        Raises:
            FarmProblem: it is not; the hint says what to do.
        """
        try:
            found = self.rows("SELECT number FROM farm.version")[0]["number"]
        except FarmProblem as error:
            if error.sqlstate not in ("42P01", "3F000"):
                raise
            raise FarmProblem(f"{self.shown} is not a farm", hint="an admin prepares it: devbench farm init") from None
        if found != SCHEMA:
            raise other_schema(self.shown, found)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Convert database errors within the block to `FarmProblem` with a one-line message."""
        try:
            yield
        except self._errors as error:
            state = error.sqlstate or ""
            first = (str(error).strip().splitlines() or ["no answer"])[0]
            what = scrub(first, self._secrets)
            lost = isinstance(error, self._lost) and state[:2] in ("", "08", "57", "53")
            hint = "is it running and reachable?" if lost else "devbench farm doctor checks roles and versions"
            raise FarmProblem(f"farm {self.shown}: {what}", hint=hint, sqlstate=state, transient=lost) from None


def other_schema(shown: str, found: object) -> FarmProblem:
    """Return the error for a worker or a command whose schema version differs from the farm's."""
    newer = isinstance(found, int) and found > SCHEMA
    hint = (
        "update devbench on this host" if newer else "an admin updates the farm: devbench farm init with this devbench"
    )
    return FarmProblem(f"farm {shown} has schema {found}, this devbench knows {SCHEMA}", hint=hint)


@dataclass(frozen=True, slots=True)
class Login:
    """A created database user, with the address to log in; the password in it is shown only once."""

    name: str
    role: str
    url: str


def init(url: str, logins: Mapping[str, Sequence[str]], storage: str | None) -> list[Login]:
    """Prepare a database: the tables of procrastinate, the store and the farm, and roles with their rights.

    Calling it again is harmless. A farm with an older schema is upgraded in one transaction; running jobs go back to
    the queue.

    Args:
        url: the address, with a user who may create roles and schemas.
        logins: names of users to create, by their role (`ROLES`).
        storage: the address of the farm's storage; `None` leaves it unchanged.

    Raises:
        FarmProblem: a right is missing, or the database has a farm with a newer schema.
    """
    from devbench.results.store import Store

    with Store(store_url(url)):
        pass  # opening the store creates its tables
    with Farm(url) as farm:
        made = bool(farm.rows("SELECT 1 AS found FROM pg_namespace WHERE nspname = 'farm'"))
        with farm._explained(), farm.connection.transaction():
            _upgrade(farm) if made else _make(farm)
        farm.check_schema()
        _grant_store(farm)
        if storage is not None:
            farm.rows(
                "INSERT INTO farm.settings VALUES ('storage', %s) "
                "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                storage,
            )
        return [_add_login(farm, name, role) for role, names in logins.items() for name in names]


def _make(farm: Farm) -> None:
    from procrastinate.schema import SchemaManager

    farm.connection.execute("CREATE SCHEMA farm")
    farm.connection.execute("SET LOCAL search_path = farm")
    for part in (SchemaManager.get_schema(), _sql("schema"), _sql("functions")):
        farm.connection.execute(part.encode())
    farm.connection.execute("INSERT INTO version VALUES (%s)", (SCHEMA,))


def _sql(name: str) -> str:
    return Path(__file__).with_name(f"{name}.sql").read_text("utf-8")


# An upgrade drops all functions and creates them again, because their parameters and results may have changed.
_DROP_FUNCTIONS = """
DO $$ DECLARE one regprocedure; BEGIN
  FOR one IN SELECT oid FROM pg_proc WHERE pronamespace = 'farm'::regnamespace AND proname !~ '^procrastinate' LOOP
    EXECUTE format('DROP FUNCTION %s', one);
  END LOOP;
END $$
"""
# Unregister all workers of the older version, so that the database refuses their calls.
_STOP_ALL = """
SELECT end_attempt(token, 'the farm was upgraded', false, '0') FROM attempts WHERE ended_utc IS NULL;
UPDATE hosts SET worker = NULL;
DELETE FROM procrastinate_workers;
UPDATE phones SET present = false;
"""


def _upgrade(farm: Farm) -> None:
    # Changing a large table may take long: disable the timeout.
    farm.connection.execute("SET LOCAL search_path = farm; SET LOCAL statement_timeout = 0")
    (found,) = farm.connection.execute("SELECT number FROM version FOR UPDATE").fetchone() or (SCHEMA,)
    if found >= SCHEMA:
        return
    for part in (*_UPGRADES[found - 1 :], _DROP_FUNCTIONS, _sql("functions"), _STOP_ALL):
        farm.connection.execute(part.encode())
    farm.connection.execute("UPDATE version SET number = %s", (SCHEMA,))


# The store is in the schema `public`. Hosts have no rights there: a keeper stores the results that they deliver.
_GRANT_STORE = """
DO $$ BEGIN
  EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
  EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO devbench_submitter, devbench_keeper, devbench_admin',
    current_database());
  REVOKE CREATE ON SCHEMA public FROM PUBLIC;
  GRANT USAGE ON SCHEMA public TO devbench_submitter, devbench_keeper, devbench_admin;
  GRANT SELECT ON ALL TABLES IN SCHEMA public TO devbench_submitter, devbench_keeper, devbench_admin;
  GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO devbench_keeper, devbench_admin;
  GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO devbench_keeper, devbench_admin;
END $$
"""


def _grant_store(farm: Farm) -> None:
    farm.rows(_GRANT_STORE)


def _add_login(farm: Farm, name: str, role: str) -> Login:
    from psycopg import sql

    password = secrets.token_urlsafe(18)
    if not _LOGIN.fullmatch(name):
        raise InputError(f"{name!r:.80} cannot be the name of a {role}", hint="use letters, digits, '.', '_' and '-'")
    exists = bool(farm.rows("SELECT 1 AS found FROM pg_roles WHERE rolname = %s", name))
    of_farm = (
        "SELECT 1 AS found FROM pg_roles r WHERE rolname = %s AND pg_has_role(r.oid, %s, 'member') AND NOT rolsuper"
    )
    if exists and not farm.rows(of_farm, name, f"devbench_{role}"):
        raise InputError(f"the database has another user {name!r} already", hint="choose another name")
    statement = "ALTER ROLE {} LOGIN PASSWORD {}" if exists else "CREATE ROLE {} LOGIN PASSWORD {}"
    with farm._explained(), farm.connection.transaction():
        execute = farm.connection.execute
        execute(sql.SQL(statement).format(sql.Identifier(name), sql.Literal(password)))
        execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(f"devbench_{role}"), sql.Identifier(name)))
        if role == "host":
            execute("INSERT INTO farm.hosts (name, role) VALUES (%s, %s) ON CONFLICT DO NOTHING", (name, name))
    parts = urlsplit(farm.url)
    place = f"{quote(name)}:{password}@{parts.netloc.rpartition('@')[2]}"
    return Login(name, role, urlunsplit(parts._replace(netloc=place)))
