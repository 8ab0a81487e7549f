from __future__ import annotations

from pgsnap.cli.wiring.looking.look import prompt_of


def test_the_prompt_has_no_control_characters_of_a_foreign_name() -> None:
    assert prompt_of("shop", "0123456789ab") == "%/@01234567%R%x%# "
    odd = prompt_of("odd%n\x1b[31m\u202e`id`", "0123456789ab")
    assert odd == r"odd%%n\x1b[31m\u202e`id`@01234567%R%x%# "
