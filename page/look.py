"""The words of look.js, which draws how a speech looks."""

WORDS = {  # key -> Chinese, English
    "look.summary": ("{0} 秒 · 音高 {1}–{2} Hz", "{0} s · pitch {1} to {2} Hz"),
    "look.unvoiced": ("{0} 秒 · 没有音高", "{0} s · without a pitch"),
    "look.seconds": ("{0} 秒", "{0} s"),
    "look.hertz": ("{0} Hz", "{0} Hz"),
    "look.wave": ("波形：{0}", "Waveform: {0}"),
    "look.mel": ("梅尔频谱与音高曲线：{0}", "Mel spectrogram and pitch curve: {0}"),
    "look.sounds": ("音素与声调，下面是文字：{0}", "Phones with tones, and the characters below: {0}"),
    "look.axis": ("时间轴；放大后可以左右滚动", "Time axis; scrolls left and right when enlarged"),
    "look.pitch": ("音高", "Pitch"),
    "look.zoom": ("放大", "Zoom"),
    "stage.text": ("文字分析", "Text"),
    "stage.bert": ("BERT", "BERT"),
    "stage.emotion": ("情感", "Emotion"),
    "stage.encode": ("编码与时长", "Encoder"),
    "stage.flow": ("流模型", "Flow"),
    "stage.decode": ("波形解码", "Decoder"),
    "stage.ms": ("{0} 毫秒", "{0} ms"),
    "stages": (
        "{0} 秒的声音用 {1} 秒做成，是播放速度的 {2} 倍（RTF {3}）",
        "{0} s of sound made in {1} s, {2} times as fast as it plays (RTF {3})",
    ),
}
