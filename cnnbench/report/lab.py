from cnnbench.report.table import entries, summary, tidy
def to_text(stored, found, kind="table"):
    from cnnbench.report import render
    return render(summary(entries([stored])), kind)
def to_json(stored, found):
    return to_text(stored, found, "json")
