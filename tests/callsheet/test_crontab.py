"""Crontabs are read as Debian's cron reads them."""

import tomllib
from argparse import Namespace

import pytest

from callsheet.commands.crontab import names_users, parse
from callsheet.commands.import_command import schedules
from callsheet.commands.sheets import read_sheet
from callsheet.commands.toml_writer import toml
from callsheet.timetable import parse_trigger

# /etc/crontab of Debian 12, as the package cron installs it
DEBIAN = r"""
# /etc/crontab: system-wide crontab
# Unlike any other crontab you don't have to run the `crontab'
# command to install the new version when you edit this file
# and files in /etc/cron.d. These files also have username fields,
# that none of the other crontabs do.

SHELL=/bin/sh
PATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin

# Example of job definition:
# .---------------- minute (0 - 59)
# |  .------------- hour (0 - 23)
# |  |  .---------- day of month (1 - 31)
# |  |  |  .------- month (1 - 12) OR jan,feb,mar,apr ...
# |  |  |  |  .---- day of week (0 - 6) (Sunday=0 or 7) OR sun,mon,tue,wed,thu,fri,sat
# |  |  |  |  |
# *  *  *  *  * user-name command to be executed
17 *	* * *	root	cd / && run-parts --report /etc/cron.hourly
25 6	* * *	root	test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }
47 6	* * 7	root	test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.weekly; }
52 6	1 * *	root	test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.monthly; }
#
"""
# files of /etc/cron.d, as the packages e2fsprogs, php, sysstat and certbot install them
CRON_D = r"""
30 3 * * 0 root test -e /run/systemd/system || SERVICE_MODE=1 /usr/lib/x86_64-linux-gnu/e2fsprogs/e2scrub_all_cron
10 3 * * * root test -e /run/systemd/system || SERVICE_MODE=1 /sbin/e2scrub_all -A -r
09,39 *     * * *     root   [ -x /usr/lib/php/sessionclean ] && /usr/lib/php/sessionclean
5-55/10 * * * * root command -v debian-sa1 > /dev/null && debian-sa1 1 1
59 23 * * * root command -v debian-sa1 > /dev/null && debian-sa1 60 2
0 */12 * * * root test -x /usr/bin/certbot && perl -e 'sleep int(rand(43200))' && certbot -q renew
"""
OPTIONS = Namespace(timezone="Europe/Berlin", user=None, overlap="allow", catch_up="none")


def only(text, system=False):
    """Return the one job of a crontab."""
    found = parse(text, system=system)
    assert found.refused == []
    (job,) = found.jobs
    return job


@pytest.mark.parametrize(("text", "count"), [(DEBIAN, 4), (CRON_D, 6)])
def test_what_debian_installs_is_read_whole(text, count):
    found = parse(text, system=True)

    assert found.refused == []
    assert len(found.jobs) == count
    assert {job.user for job in found.jobs} == {"root"}
    for job in found.jobs:
        parse_trigger({"cron": job.expression, "timezone": "Europe/Berlin"}, anchor=0)


def test_a_job_has_its_fields_its_user_and_the_rest_for_the_shell():
    job = only(DEBIAN.replace("25 6", "#").replace("47 6", "#").replace("52 6", "#"), system=True)

    assert (job.expression, job.user) == ("17 * * * *", "root")
    assert job.command == "cd / && run-parts --report /etc/cron.hourly"
    assert job.environment["SHELL"] == "/bin/sh"


def test_settings_hold_for_the_lines_below_them():
    found = parse('A = 1\n0 1 * * * one\nA="two words"\n "B" = \'x\' \n0 2 * * * two', system=False)

    assert [job.environment for job in found.jobs] == [{"A": "1"}, {"A": "two words", "B": "x"}]


def test_a_job_that_sets_a_variable_for_its_command_is_a_job():
    assert only("0 1 * * * A=1 env").command == "A=1 env"
    assert only("@daily A=1 env").expression == "@daily"


@pytest.mark.parametrize(
    ("line", "command", "stdin"),
    [
        (r"0 1 * * * mail -s 'it is \%d' joe%Joe,%%Bye", "mail -s 'it is %d' joe", "Joe,\n\nBye\n"),
        (r"0 1 * * * date +\%F", "date +%F", None),
        ("0 1 * * * cat%", "cat", None),
        ("0 1 * * * cat%one%two%", "cat", "one\ntwo\n"),  # it ends with a new line, and gets no second one
        (r"0 1 * * * cat \\%\%", r"cat \\", "%\n"),
        ("0 1 * * * echo # no comment", "echo # no comment", None),
    ],
)
def test_a_percent_ends_the_command_and_begins_its_input(line, command, stdin):
    assert (only(line).command, only(line).stdin) == (command, stdin)


def test_the_zone_is_that_of_cron_tz_and_tz_is_for_the_command_only():
    found = parse("TZ=Asia/Tokyo\n0 1 * * * a\nCRON_TZ=America/New_York\n0 1 * * * b", system=False)
    first, second = schedules(found.jobs, OPTIONS, "crontab").values()

    assert first["trigger"] == {"cron": "0 1 * * *", "timezone": "Europe/Berlin"}
    assert first["input"]["env"]["TZ"] == "Asia/Tokyo"
    assert second["trigger"]["timezone"] == "America/New_York"
    assert "CRON_TZ" not in second["input"]["env"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("@reboot start", "run_on_create"),
        ("@fortnightly x", "@hourly"),
        ("0 1 * * x", "too few fields"),
        ("61 1 * * * x", "minute: 61 is outside 0-59"),
        ("0 0 31 2 * x", "names no date that ever comes"),
        ("@daily", "no command"),
    ],
)
def test_what_cannot_be_taken_over_is_refused_with_a_sentence(line, why):
    found = parse(f"# above\n{line}\n0 1 * * * fine", system=False)

    assert [number for number, _ in found.refused] == [2]
    assert why in found.refused[0][1]
    assert len(found.jobs) == 1


def test_a_line_of_the_system_form_without_a_command_says_so():
    assert "a user stands before it" in parse("0 1 * * * root", system=True).refused[0][1]


def test_the_command_runs_as_cron_would_run_it():
    (document,) = schedules(parse("PATH=/opt/bin\n0 1 * * * backup --all", system=False).jobs, OPTIONS, "mine").values()

    assert document["input"]["argv"] == ["/bin/sh", "-c", "backup --all"]
    assert document["input"]["env"]["PATH"] == "/opt/bin"
    assert document["input"]["clear_env"]
    assert document["input"]["cwd"] == document["input"]["env"]["HOME"]
    assert (document["overlap"], document["catch_up"], document["tags"]) == ("allow", "none", ["sheet:mine"])


def test_ids_say_what_runs_and_stay_when_the_time_changes():
    def ids(text):
        return list(schedules(parse(text, system=False).jobs, OPTIONS, "c"))

    before = ids("0 1 * * * /usr/bin/backup --all\n0 1 * * * x\n0 2 * * * x")
    assert before == ids("30 4 * * * /usr/bin/backup --all\n0 1 * * * x\n0 2 * * * x")
    first, second, third = before
    assert first.startswith("backup-")
    assert third == f"{second}-2"


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("cd / && run-parts --report /etc/cron.hourly", "run-parts-cron.hourly"),
        ("test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }", "run-parts-cron.daily"),
        ("[ -x /usr/lib/php/clean ] && if [ ! -d /run/systemd ]; then /usr/lib/php/clean; fi", "clean"),
        ("command -v debian-sa1 > /dev/null && debian-sa1 1 1", "debian-sa1"),
        ("nice -n 19 ionice -c3 /usr/local/bin/backup.sh --full", "backup.sh"),
        ("$HOME/bin/job.sh >> $HOME/log 2>&1", "job.sh"),
        ("/usr/bin/php -q /var/www/cron.php > /dev/null 2>&1", "php-cron.php"),
        ("FOO=bar /bin/true", "true"),
        ("> /dev/null 2>&1", "job"),
        ('echo "and so on"', "echo"),
    ],
)
def test_an_id_names_the_program_and_not_what_prepares_it(command, name):
    (slug,) = schedules(parse(f"0 1 * * * {command}", system=False).jobs, OPTIONS, "c")

    assert slug.rpartition("-")[0] == name


def test_a_system_crontab_that_is_taken_for_a_users_is_known_by_its_users():
    def looks(text):
        return names_users(parse(text, system=False).jobs, {"ada", "root"}.__contains__)

    assert looks(DEBIAN)
    assert looks("0 1 * * * ada one\n0 1 * * * root two")
    assert looks("0 1 * * * ada one\n0 1 * * * elsewhere two\n0 1 * * * root three")
    assert not looks("0 1 * * * ada one\n0 1 * * * backup two")
    assert not looks("")


def test_a_home_that_is_not_there_is_no_place_to_begin_in():
    (document,) = schedules(parse("HOME=/nowhere\n0 1 * * * x", system=False).jobs, OPTIONS, "c").values()

    assert (document["input"]["cwd"], document["input"]["env"]["HOME"]) == ("/", "/nowhere")


def test_the_printed_sheet_is_the_same_schedules_again():
    documents = schedules(parse(DEBIAN + CRON_D, system=True).jobs, OPTIONS, "debian")
    text = toml({"name": "debian", "schedules": documents})

    again = read_sheet(text)
    assert {name: set(one["tags"]) for name, one in again.schedules.items()} == {
        name: set(one["tags"]) for name, one in documents.items()
    }
    assert {name: one["input"] for name, one in again.schedules.items()} == {
        name: one["input"] for name, one in documents.items()
    }


def test_any_text_can_be_written_as_toml():
    text = 'quote " back \\ line\nnul-ish \x01 \x7f ü 😀'
    given = {"a b": text, "list": [1, True, {"x": 1.5}], "none": None, "empty": {}}

    assert tomllib.loads(toml(given)) == {name: value for name, value in given.items() if value is not None}
