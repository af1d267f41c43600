"""history.csv, read as it was written."""

from common.training import logs


def test_a_history_is_read_as_it_was_written(tmp_path):
    rows = [{"epoch": 1, "loss": 0.1, "val_psnr_rgb": None}, {"epoch": 2, "loss": 1e-7}]
    logs.write_history(tmp_path, rows)
    read = logs.read_history(tmp_path)
    assert read == [
        {"epoch": 1.0, "loss": 0.1, "val_psnr_rgb": None},
        {"epoch": 2.0, "loss": 1e-7, "val_psnr_rgb": None},
    ]


def test_a_folder_without_a_history_has_no_curves(tmp_path):
    assert logs.history_of(tmp_path / "model.h5", "0" * 64, tmp_path / "runs") is None
    (tmp_path / "history.csv").write_text("not,a\nrun,1,2\n")
    assert logs.history_of(tmp_path / "model.h5", "0" * 64, tmp_path / "runs") is None
