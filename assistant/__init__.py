"""Who answers: base models, engines, model versions, turns, accounts, API, chat page. Knows no trainer."""
